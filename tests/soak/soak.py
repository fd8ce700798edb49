"""Very many interactions with random outcomes through the real parser of a real client that is logged in.

Each frame goes in at ``DiscordWebSocket.received_message``. What comes out at the other end, the responses to
interactions, is answered where aiohttp's session would send them, so that no network sets the pace: everything of
discord.py's and of ours on the way is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import itertools
import json
import random
import time
import typing
from collections import Counter
from typing import Any, Final

import aiohttp
import discord
import psutil
from discord import app_commands
from multidict import CIMultiDict

from argus_exporter import ArgusExporter, Settings
from examples.discord_simulator import Simulator
from examples.discord_simulator.interactions import age_of
from tests.clients import ShardedBot, logged_in, values

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from argus_exporter.instruments import Instruments
    from examples.discord_simulator.interactions import Place

SHARDS: Final = 2
COMMANDS: Final = 40
"""As subcommands of groups; each has a label of its own, for each exception that ends it too."""
BATCH: Final = 200
DEADLINE: Final = 3.0
"""Seconds in which an interaction can be answered, at Discord."""
LONG_AGO: Final = 61.0
"""Seconds after which nothing is known of an interaction any more."""

ACCEPTED, REFUSED, NOBODY = "accepted", "refused", "nobody"


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a handler ends.

    :ivar share: how many in a hundred.
    :ivar statuses: what Discord answers, in turn; 0 is a connection that is lost.
    """

    share: int
    outcome: str = "ok"
    error: str = ""
    answer: str = ACCEPTED
    statuses: tuple[int, ...] = (200,)


ENDINGS: Final = {
    "ok": Ending(60),
    "slow": Ending(5),
    "limited": Ending(3, statuses=(429, 200)),
    "regret": Ending(5, "bot_error", "ZeroDivisionError"),
    "silent": Ending(10, answer=NOBODY, statuses=()),
    "crash": Ending(5, "bot_error", "RuntimeError", NOBODY, ()),
    "refused": Ending(4, "discord_error", "NotFound", REFUSED, (404,)),
    "again": Ending(3, "bot_error", "HTTPException", REFUSED, (400,)),
    "lost": Ending(3, "discord_error", "ServerDisconnectedError", REFUSED, (0,)),
    "cancelled": Ending(2, "cancelled", "CancelledError", NOBODY, ()),
}
TYPES: Final = {"slash": 60, "user": 5, "message": 5, "component": 20, "modal": 5, "autocomplete": 5}
_OF_AUTOCOMPLETE: Final = ("ok", "crash")
_MENUS: Final = ("ok", "crash", "silent", "refused", "cancelled")
_KINDS, _KIND_SHARES = [*TYPES], [*TYPES.values()]
_NUMBERS: Final = {"component": 3, "autocomplete": 4, "modal": 5}
"""Types of interactions as Discord numbers them, where they are no commands."""
NOTHING: Final = (
    "discord_interactions_in_flight",
    "discord_commands_in_flight",
    "discord_http_requests_in_flight",
    "argus_exporter_interactions_evicted_total",
    "argus_exporter_collector_errors_total",
    "argus_exporter_label_overflow_total",
)
"""What must be 0 in the end."""
CALLBACK: Final = "/interactions/{interaction_id}/{interaction_token}/callback"
_BODIES: Final = {404: 10062, 400: 40060}


# ---------------------------------------------------------------------------------------------- the bot


class Bot(ShardedBot):
    """A bot whose handlers end as they are told: by a command's option, a button's or a modal's custom id.

    :ivar hanging: the tasks of handlers that wait to be cancelled.
    """

    line: Line

    def __init__(self, commands: int = COMMANDS, **options: Any) -> None:
        super().__init__(shard_count=SHARDS, **options)
        self.hanging: list[asyncio.Task[Any]] = []
        self.before_connecting: Callable[[], typing.Awaitable[object]] | None = None
        self.paths = list(_add_groups(self.tree, commands))
        for name in _MENUS:
            self.tree.context_menu(name=f"user {name}")(_on_user(name))
            self.tree.context_menu(name=f"message {name}")(_on_message(name))
        self.tree.on_error = _say_nothing  # type: ignore[method-assign,assignment]

    async def setup_hook(self) -> None:
        self.add_view(Board())
        session: Any = self.http._HTTPClient__session  # type: ignore[attr-defined]
        session._request = self.line = Line(session._request)
        if self.before_connecting is not None:
            await self.before_connecting()

    def ws_of(self, shard_id: int) -> Any:
        """A shard's websocket."""
        shard: Any = self.get_shard(shard_id)
        return shard._parent.ws

    async def end(self, name: str, interaction: discord.Interaction[Any]) -> None:
        """End as it is called."""
        if name == "slow":
            await asyncio.sleep(0.001)
        if ENDINGS[name].statuses:
            await interaction.response.send_message("answer")
        if name == "regret":
            raise ZeroDivisionError
        if name == "crash":
            raise RuntimeError
        if name == "cancelled":
            task = asyncio.current_task()
            assert task is not None
            self.hanging.append(task)
            await asyncio.get_running_loop().create_future()


async def _say_nothing(interaction: discord.Interaction[Any], error: Exception) -> None:
    """A million tracebacks are no help."""


def _add_groups(tree: app_commands.CommandTree[Any], count: int) -> Iterator[str]:
    """Register commands as subcommands of groups, 25 in each; yield their names."""
    for start in range(0, count, 25):
        group = app_commands.Group(name=f"group-{start // 25}", description="-")
        tree.add_command(group)
        for number in range(start, min(start + 25, count)):
            group.add_command(_command(f"sub-{number}"))
            yield f"{group.name} sub-{number}"


def _command(name: str) -> app_commands.Command[Any, ..., Any]:
    async def callback(interaction: discord.Interaction[Bot], how: str) -> None:
        await interaction.client.end(how, interaction)

    command = app_commands.Command(name=name, description="-", callback=callback)
    command.autocomplete("how")(_complete)
    return command


async def _complete(interaction: discord.Interaction[Any], current: str) -> list[app_commands.Choice[str]]:
    if current == "crash":
        raise RuntimeError
    return []


def _on_user(name: str) -> Any:
    async def callback(interaction: discord.Interaction[Bot], target: discord.Member) -> None:
        await interaction.client.end(name, interaction)

    return callback


def _on_message(name: str) -> Any:
    async def callback(interaction: discord.Interaction[Bot], target: discord.Message) -> None:
        await interaction.client.end(name, interaction)

    return callback


class Button(discord.ui.Button[Any]):
    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        assert self.custom_id is not None
        await interaction.client.end(self.custom_id, interaction)


class Board(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)
        for name in ENDINGS:
            self.add_item(Button(label=name, custom_id=name))

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, item: Any, /) -> None:
        pass


class Asking(discord.ui.Modal):
    def __init__(self, custom_id: str) -> None:
        super().__init__(title="Ask", custom_id=custom_id, timeout=None)

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        await interaction.client.end(self.custom_id.partition(".")[0], interaction)

    async def on_error(self, interaction: discord.Interaction[Any], error: Exception, /) -> None:
        pass


# ---------------------------------------------------------------------------------------------- Discord's end


class Line:
    """Stands where aiohttp's session sends: answers responses to interactions at once, and sends all else on.

    An interaction's token has its ending and its type.

    :ivar late: answers that were sent after their deadline, by type: the machine stood still, which is to be counted.
    """

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self._tried: set[str] = set()
        self.late: Counter[str] = Counter()

    async def __call__(self, method: str, url: Any, **named: Any) -> Any:
        address = str(url)
        if not address.endswith("/callback"):
            return await self._original(method, url, **named)
        token = address.split("/")[-2]
        ending, kind, number = token.split(".")
        age = age_of(int(number))
        await asyncio.sleep(0)
        first, *later = ENDINGS[ending].statuses
        if later and token not in self._tried:
            self._tried.add(token)
            return Response(first)
        self._tried.discard(token)
        status = later[-1] if later else first
        if not status:
            raise aiohttp.ServerDisconnectedError
        self.late[kind] += status == 200 and age > DEADLINE
        return Response(status)


class Response:
    """As much of aiohttp's response as discord.py asks for."""

    reason = "-"

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers = CIMultiDict({"Content-Type": "application/json", "Via": "1.1 google"})

    async def text(self, encoding: str = "utf-8") -> str:
        """The body."""
        error = {"message": "-", "code": _BODIES.get(self.status, 0), "retry_after": 0.0}
        return json.dumps({"interaction": {"id": "1", "type": 2}} if self.status == 200 else error)

    async def __aenter__(self) -> typing.Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


# ---------------------------------------------------------------------------------------------- what is sent


@dataclasses.dataclass(frozen=True)
class Sort:
    """Interactions that are alike but for their ids."""

    kind: str
    ending: str
    command: str
    payload: str


class Source:
    """Makes frames of interactions, and books what they must lead to.

    :param place: where they happen, and by whom.
    :ivar book: the counters, and the counts of histograms, by metric and label values.
    """

    def __init__(self, sim: Simulator, bot: Bot, seed: int = 1, place: Place | None = None) -> None:
        self._sim = sim
        self._place = place or sim.stage.place(0, 0, 0)
        self._bot = bot
        self._rng = random.Random(seed)
        self._sorts = {kind: self._made(kind) for kind in TYPES}
        self._shares = {kind: [ENDINGS[name].share for name in sorts] for kind, sorts in self._sorts.items()}
        self._sequence = itertools.count(bot.ws_of(0).sequence or 1)
        self.book: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def _made(self, kind: str) -> dict[str, list[Sort]]:
        names = {"user": _MENUS, "message": _MENUS, "autocomplete": _OF_AUTOCOMPLETE}.get(kind, tuple(ENDINGS))
        paths = self._bot.paths if kind in {"slash", "autocomplete"} else [f"{kind} <how>"]
        return {name: [self._sort(kind, name, path.replace("<how>", name)) for path in paths] for name in names}

    def _sort(self, kind: str, name: str, path: str) -> Sort:
        """The payload of an INTERACTION_CREATE as JSON, with places for its id."""
        place, interactions = self._place, self._sim.stage.interactions
        message = self._sim.stage.messages.new(int(place.channel["id"]), self._sim.world.bot, "-", {})
        target = self._sim.world.guild(0).member(1)["user"]
        data: Callable[[], dict[str, Any]] = {
            "slash": lambda: interactions.slash(path, {"how": name}, place),
            "autocomplete": lambda: interactions.slash(path, {"how": name}, place, "how"),
            "user": lambda: interactions.menu(path, place, 2, target),
            "message": lambda: interactions.menu(path, place, 3, message),
            "component": lambda: {"custom_id": name, "component_type": 2},
            "modal": lambda: interactions.modal(f"{name}.<id>", {}, place),
        }[kind]
        payload = interactions.make(_NUMBERS.get(kind, 2), data(), place).payload
        payload |= {"id": "<id>", "token": f"{name}.{kind}.<id>"} | (
            {"message": message} if kind == "component" else {}
        )
        return Sort(kind, name, path, json.dumps(payload))

    def any(self) -> str:
        """A frame of any sort."""
        return self._frame(self.pick())

    def pick(self) -> Sort:
        """Any sort."""
        kind = self._rng.choices(_KINDS, _KIND_SHARES)[0]
        sorts = self._sorts[kind]
        (ending,) = self._rng.choices([*sorts], self._shares[kind])
        return self._rng.choice(sorts[ending])

    def slash(self, number: int, ending: str) -> str:
        """A frame of a slash command, by its number."""
        return self._frame(self._sorts["slash"][ending][number])

    def _frame(self, sort: Sort) -> str:
        _, payload = self.make(sort)
        return f'{{"op": 0, "t": "INTERACTION_CREATE", "s": {next(self._sequence)}, "d": {payload}}}'

    def make(self, sort: Sort) -> tuple[int, str]:
        """The id and the payload of a new interaction, which is booked."""
        number = self._sim.world.ids.new()
        if sort.kind == "modal":
            self._bot._connection.store_view(Asking(f"{sort.ending}.{number}"))
        self._note(sort, ENDINGS[sort.ending])
        return number, sort.payload.replace("<id>", str(number))

    def _note(self, sort: Sort, ending: Ending) -> None:
        book, kind = self.book, sort.kind
        book["discord_gateway_events_total", ("INTERACTION_CREATE",)] += 1
        book["discord_interactions_total", (kind,)] += 1
        book["discord_interactions_handled_total", (kind, ending.outcome)] += 1
        fate = {
            ACCEPTED: ("discord_interaction_ack_seconds",),
            REFUSED: ("discord_interaction_deadline_missed_total",),
            NOBODY: ("discord_interaction_deadline_missed_total", "discord_interactions_unanswered_total"),
        }
        for name in fate[ending.answer]:
            book[name, (kind,)] += 1
        for status in ending.statuses:
            book["discord_http_requests_total", ("POST", CALLBACK, str(status or "error"))] += 1
            book["discord_interaction_ack_failures_total", (str(status),)] += status in _BODIES
        if kind in {"slash", "user", "message"}:
            book["discord_commands_total", (sort.command, kind, ending.outcome)] += 1
            book["discord_command_errors_total", (sort.command, ending.error)] += bool(ending.error)


def differences(book: Mapping[tuple[str, tuple[str, ...]], int], instruments: Instruments) -> list[str]:
    """What was counted otherwise than it is booked, in words."""
    found: list[str] = []
    for name in {name for name, _ in book}:
        wanted = {key: count for (family, key), count in book.items() if family == name and count}
        cells: dict[tuple[str, ...], Any] = dict(instruments.families[name].cells)
        counted = {key: sum(getattr(cell, "counts", ())) or getattr(cell, "value", 0) for key, cell in cells.items()}
        wrong = {key for key in wanted.keys() | counted.keys() if wanted.get(key, 0) != counted.get(key, 0)}
        if name == "discord_http_requests_total":
            wrong = {key for key in wrong if key[1] == CALLBACK}
        if name == "discord_gateway_events_total":
            wrong &= wanted.keys()
        found += [f"{name}{key} is {counted.get(key, 0)}, not {wanted.get(key, 0)}" for key in sorted(wrong)]
    return found


# ---------------------------------------------------------------------------------------------- the soak


@dataclasses.dataclass(frozen=True)
class Mark:
    """How it stands after so many interactions; ``rss`` in bytes, ``seconds`` since the beginning."""

    count: int
    seconds: float
    rss: int
    followed: int
    series: int


class Soak:
    """Sends interactions as fast as they go."""

    def __init__(self, bot: Bot, cog: ArgusExporter, source: Source) -> None:
        self.bot = bot
        self.source = source
        self.exporter = cog.exporter
        self.marks: list[Mark] = []
        self._began = time.perf_counter()
        self._idle = len(asyncio.all_tasks())

    @property
    def interactions(self) -> Any:
        """The part of the exporter that follows interactions."""
        return self.exporter._view.interactions

    @property
    def followed(self) -> int:
        """How many interactions and commands are remembered."""
        part = self.interactions
        return len(part._open) + len(part._kept) + self.exporter._view.commands.running()

    async def send(self, frames: Iterable[str]) -> None:
        """Send frames, and give the handlers their turn after each batch."""
        ws = self.bot.ws_of(0)
        for number, frame in enumerate(frames, 1):
            await ws.received_message(frame)
            if number % BATCH == 0:
                await self.turn()
        await self.end()

    async def turn(self) -> None:
        """Let the handlers run until only few are left."""
        while len(asyncio.all_tasks()) > self._idle + BATCH // 2:
            await asyncio.sleep(0)
            self._cancel()

    async def end(self) -> None:
        """Wait until no handler runs."""
        while len(asyncio.all_tasks()) > self._idle:
            await asyncio.sleep(0.001)
            self._cancel()

    def _cancel(self) -> None:
        while self.bot.hanging:
            self.bot.hanging.pop().cancel()

    def mark(self) -> Mark:
        """Note how it stands."""
        self.exporter.sample()
        gc.collect()
        count = self.source.book["discord_gateway_events_total", ("INTERACTION_CREATE",)]
        rss = psutil.Process().memory_info().rss
        seconds = time.perf_counter() - self._began
        self.marks.append(Mark(count, seconds, rss, self.followed, self.exporter.instruments.count_series()))
        return self.marks[-1]

    def over(self) -> list[str]:
        """Let all be long ago, and say what is wrong then."""
        now = time.perf_counter
        self.interactions.now = lambda: now() + LONG_AGO
        self.exporter.sample()
        late = {("discord_interaction_deadline_missed_total", (kind,)): n for kind, n in self.bot.line.late.items()}
        wrong = differences(self.source.book + Counter(late), self.exporter.instruments)
        for name in NOTHING:
            left = values(self.exporter.instruments, name)
            wrong += [f"{name}{key} is {value}, not 0" for key, value in left.items()]
        return [*wrong, *([f"{self.followed} interactions are still remembered"] if self.followed else [])]


@contextlib.asynccontextmanager
async def soaking(commands: int = COMMANDS, **options: Any) -> AsyncIterator[Soak]:
    """A bot that is logged in to a simulator, with an exporter."""
    async with Simulator(guilds=2, members=5, shards=SHARDS) as sim:
        bot = Bot(commands)
        cog = ArgusExporter(bot, Settings(port="off", state_dir="off", **options))
        bot.before_connecting = lambda: bot.add_cog(cog)
        async with logged_in(bot, sim, SHARDS):
            await asyncio.sleep(0.1)
            yield Soak(bot, cog, Source(sim, bot))
