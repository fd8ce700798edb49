"""The rehearsal: bots in their Discords, one Prometheus, one Alertmanager, a webhook, and a verdict on each row.

One bot has one incident. A row's bot runs until its alerts are over, several rows run at the same time. Alerts of a bot
that is gone, or of none (ArgusAbsent before the first one is there), are nobody's concern.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.integration.programs import Prometheus, alertmanager, configured_prometheus, filtered
from tests.rehearsal import scaled
from tests.rehearsal.scene import PINGS, ROOT, Scene
from tests.rehearsal.table import Row
from tests.rehearsal.webhook import Labels, Webhook

RULES: Final = ROOT / "prometheus" / "rules"
ALERTMANAGER: Final = ROOT / "prometheus" / "alertmanager.yml"
SCRAPE: Final = 15.0
"""Seconds between two scrapes, before they are scaled."""
EVALUATE: Final = 15.0
"""Seconds between two evaluations of the rules, before they are scaled."""
HISTORY: Final = 3 * 86_400.0
"""Seconds of history, before they are scaled: the longest window of the rules. A sample an evaluation."""
LOOK: Final = 0.25
"""Real seconds between two looks at what fires."""
STANDSTILL: Final = 1.5
"""Real seconds that a look may take: where they are more the machine stood still, and that is an incident itself."""
AGAIN: Final = 2
"""How often a row is rehearsed at most, where the machine stood still."""
FIRING: Final = 300.0
"""Real seconds in which an incident's alerts must have come: more than they need, for a machine that is busy."""
RESOLVING: Final = 420.0
"""Real seconds in which they must be over."""


@dataclasses.dataclass
class Result:
    """What became of a row."""

    row: Row
    notified: frozenset[str] = frozenset()
    muted: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()
    fired_after: float = 0.0
    resolved_after: float = 0.0
    trouble: str = ""

    @property
    def missing(self) -> frozenset[str]:
        """Alerts that should have come, or should have been muted, and were not."""
        return (self.row.told - self.notified) | (self.row.mutes - self.muted)

    @property
    def uncalled(self) -> frozenset[str]:
        """Alerts that nobody expects."""
        return (self.notified - self.row.told) | (self.muted - self.row.mutes) | self.before

    @property
    def well(self) -> bool:
        """Whether all is as the table says."""
        return not (self.missing or self.uncalled or self.left or self.trouble)


class Rehearsal:
    """Prometheus, Alertmanager and webhook, and the bots that are there at the moment."""

    def __init__(self, factor: float, folder: Path, say: Callable[[str], None]) -> None:
        self._factor, self._folder, self._say = factor, folder, say
        self._scenes: dict[str, Scene] = {}
        self._owners: dict[str, str] = {}
        self._webhook = Webhook(self._subject_of)
        self._seen: dict[str, set[str]] = {}
        self._active: dict[str, set[str]] = {}
        self._stood_still: list[float] = []
        self._began = time.monotonic()

    def _subject_of(self, labels: Labels) -> str:
        return labels.get("bot") or self._owners.get(labels.get("instance", ""), "")

    # ------------------------------------------------------------------------------------- servers

    @contextlib.asynccontextmanager
    async def servers(self, rows: Iterable[Row]) -> AsyncIterator[None]:
        """Run them until the end of the block; they know of the past of the rows' bots."""
        self._write_targets()
        await self._remember(rows)
        async with self._webhook.running():
            async with alertmanager(self._folder, self._routes()) as port:
                options = scaled.options(self._factor)
                async with configured_prometheus(self._folder, self._configuration(port), *options) as prometheus:
                    watch = asyncio.create_task(self._watch(prometheus))
                    try:
                        yield
                    finally:
                        watch.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await watch

    def _routes(self) -> Any:
        """Alertmanager's configuration as it is shipped, but for the receivers: all of them are the webhook."""
        given = scaled.document(yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8")), self._factor)
        hook = {"url": self._webhook.url, "send_resolved": True}
        receivers = [{"name": each["name"], "webhook_configs": [hook]} for each in given["receivers"]]
        return {key: given[key] for key in ("route", "inhibit_rules")} | {"receivers": receivers}

    def _configuration(self, alertmanager_port: int) -> Any:
        rules = self._folder / "rules"
        rules.mkdir()
        for file in RULES.glob("*.yml"):
            given = yaml.safe_load(file.read_text(encoding="utf-8"))
            (rules / file.name).write_text(json.dumps(scaled.rules(given, self._factor)), encoding="utf-8")
        scrape, evaluate = (f"{round(1000 * each / self._factor)}ms" for each in (SCRAPE, EVALUATE))
        found = {"files": [str(self._folder / "targets.json")], "refresh_interval": "1s"}
        return {
            "global": {"scrape_interval": scrape, "scrape_timeout": scrape, "evaluation_interval": evaluate},
            "rule_files": [str(rules / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]},
            "scrape_configs": [{"job_name": "discord", "honor_labels": True, "file_sd_configs": [found]}],
        }

    def _write_targets(self) -> None:
        """Tell Prometheus which processes there are."""
        targets = [target for scene in self._scenes.values() for target in scene.targets()]
        self._owners |= {target["targets"][0]: target["labels"]["bot"] for target in targets}
        new = self._folder / "targets.new"
        new.write_text(json.dumps(targets), encoding="utf-8")
        new.replace(self._folder / "targets.json")

    async def _remember(self, rows: Iterable[Row]) -> None:
        """Give Prometheus three days of each bot that has a history, so that long windows are full."""
        bots = {bot: row.history for row in rows if row.history is not None for bot in _bots(row)}
        lines = (line for bot, failed in bots.items() for line in _history(bot, failed, self._factor))
        file = self._folder / "history"
        file.write_text("\n".join([*lines, "# EOF\n"]), encoding="utf-8")
        code, said = await filtered(
            "promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(self._folder / "data"), text=b""
        )
        assert code == 0, said.decode()

    async def _watch(self, prometheus: Prometheus) -> None:
        """Note which alerts fire in Prometheus, muted ones too, and which targets there are to be."""
        while True:
            looked = time.monotonic()
            self._write_targets()
            self._note((await prometheus.get("alerts"))["alerts"])
            await asyncio.sleep(LOOK)
            if time.monotonic() - looked > STANDSTILL:
                self._stood_still.append(looked)

    def _note(self, alerts: Iterable[Any]) -> None:
        self._active = {}
        for alert in alerts:
            if alert["state"] == "firing":
                subject, name = self._subject_of(alert["labels"]), alert["labels"]["alertname"]
                for names in (self._active, self._seen):
                    names.setdefault(subject, set()).add(name)

    # ------------------------------------------------------------------------------------- rows

    async def run(self, rows: Iterable[Row], parallel: int) -> list[Result]:
        """Rehearse rows, so many at the same time."""
        room = asyncio.Semaphore(parallel)

        async def one(row: Row) -> Result:
            async with room:
                for bot in _bots(row):
                    began, result = time.monotonic(), await self._rehearse(row, bot)
                    if result.well or not any(at > began for at in self._stood_still):
                        break
                    self._tell(bot, "proves nothing: the machine stood still meanwhile")
                return result

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(row)) for row in rows]
        return [task.result() for task in tasks]

    async def _rehearse(self, row: Row, bot: str) -> Result:
        result = Result(row)
        folder = self._folder / bot
        folder.mkdir()
        special = {name: getattr(row, name) for name in ("patience", "chat", "pings", "pushes", "records")}
        scene = Scene(bot, row.fleet, self._factor, folder, **special)
        self._tell(bot, "starts")
        try:
            async with scene.running():
                self._scenes[bot] = scene
                await self._play(scene, result)
        except (TimeoutError, AssertionError, LookupError) as problem:
            result.trouble = f"{type(problem).__name__}: {problem}"
        finally:
            self._scenes.pop(bot, None)
        self._tell(bot, "is over")
        self._say("\n".join(_lines(result)))
        return result

    async def _play(self, scene: Scene, result: Result) -> None:
        row, bot = result.row, scene.name
        told, seen = self._webhook.told.setdefault(bot, set()), self._seen.setdefault(bot, set())
        await self._minutes(row.warm)
        result.before = frozenset(seen)
        self._tell(bot, "begins")
        async with row.incident(scene):
            began = time.monotonic()
            await self._until(lambda: row.fires <= told and row.mutes <= seen, FIRING)
            result.fired_after = time.monotonic() - began
            self._tell(bot, f"has told of {_names(told) or 'nothing'}")
            await self._minutes(row.lasts)
        self._tell(bot, "is mended")
        ended = time.monotonic()
        await self._until(lambda: row.follows <= told, FIRING)
        await self._until(lambda: not self._open(bot), RESOLVING)
        result.resolved_after = time.monotonic() - ended
        result.left = frozenset(self._open(bot))
        result.notified = frozenset(told)
        result.muted = frozenset(seen) - result.notified

    def _open(self, bot: str) -> set[str]:
        """The alerts that are not over, in Prometheus or as far as the webhook knows."""
        return self._active.get(bot, set()) | set(self._webhook.firing.get(bot, {}).values())

    async def _minutes(self, minutes: float) -> None:
        await asyncio.sleep(minutes * 60 / self._factor)

    async def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition, or until the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.1)

    def _tell(self, bot: str, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {bot:24} {what}")


def _bots(row: Row) -> tuple[str, ...]:
    """The names of its bots: another one each time, because Prometheus does not forget."""
    return (row.name, *(f"{row.name}_{number}" for number in range(2, AGAIN + 1)))


def _history(bot: str, failed: float, factor: float) -> Iterator[str]:
    """Samples of what the rules have recorded of a bot that people have used as they do now."""
    shares = {"command_errors": failed, "commands": 1.0, "interactions": 1.0, "interaction_deadline_missed": 0.0}
    now = time.time()
    for name, share in shares.items():
        series = f'job_bot:discord_{name}:rate5m{{job="discord",bot="{bot}"}} {share * PINGS:g}'
        for back in range(round(HISTORY / EVALUATE), 0, -1):
            yield f"{series} {now - back * EVALUATE / factor:.3f}"


def _names(alerts: Iterable[str]) -> str:
    return ", ".join(sorted(alerts))


def shares(results: Iterable[Result]) -> tuple[float, float]:
    """Precision and recall of the alerts, over all rows; 1 where there was nothing to be right about."""
    kept = list(results)
    right = sum(len(each.row.told & each.notified) + len(each.row.mutes & each.muted) for each in kept)
    wrong = sum(len(each.uncalled) for each in kept)
    missing = sum(len(each.missing) for each in kept)
    return _share(right, wrong), _share(right, missing)


def _share(right: int, others: int) -> float:
    return right / (right + others) if right + others else 1.0


def report(results: Iterable[Result]) -> str:
    """The table, row by row, with precision and recall."""
    kept = list(results)
    lines = [line for each in kept for line in _lines(each)]
    precision, recall = shares(kept)
    well = sum(each.well for each in kept)
    last = f"{well} of {len(kept)} rows are as the table says; precision {precision:.1%}, recall {recall:.1%}"
    return "\n".join([*lines, "", last])


def _lines(result: Result) -> Iterable[str]:
    row = result.row
    times = f"{result.fired_after:5.0f} s {result.resolved_after:5.0f} s"
    yield f"{'ok ' if result.well else 'BAD'} {row.name:24} {times}  {_names(result.notified) or 'nothing'}"
    notes = {
        "muted": result.muted,
        "MISSING": result.missing,
        "UNCALLED FOR": result.uncalled,
        "NOT RESOLVED": result.left,
        "TROUBLE": {result.trouble} - {""},
    }
    for word, alerts in notes.items():
        if alerts:
            yield f"{'':45}{word}: {_names(alerts)}"
