"""The command line: run a simulator, and drive one that runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import signal
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, cast

from . import incidents as incidents_module
from .events import EVENTS
from .intents import PRIVILEGED
from .limits import DISCORD, QUICK
from .simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROGRAM = "python -m examples.discord_simulator"
URL = "http://127.0.0.1:8765"
_DESCRIPTION = """\
A local Discord that an unmodified discord.py bot logs in to, to rehearse incidents and alerts.

Point your bot at it before it starts:

    from examples.discord_simulator import point_at
    point_at("http://127.0.0.1:8765")
    bot.run("simulator-token")
"""


class Problem(Exception):  # noqa: N818  it is the user's, and has one line
    """What the user is told instead of a traceback."""


def incident_table() -> Iterator[str]:
    """The incidents, one line each, as `--help` and the README show them."""
    for one in incidents_module.INCIDENTS.values():
        parameters = " ".join(f"{each.name}={each.default}" for each in one.parameters)
        yield f"{one.name} {parameters}".rstrip() + f"\n      {one.help}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, 1 for a problem, 2 for wrong usage."""
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "run")
    options = _parser().parse_args(given)
    try:
        options.command(options)
    except Problem as problem:
        print(f"{PROGRAM}: {problem}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=PROGRAM, description=_DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run a simulator (the default command)", formatter_class=raw)
    _add_run(run)
    incidents = "\n".join(f"  {line}" for line in incident_table())
    options = run.format_help().partition("options:\n")[2]
    parser.epilog = f"options of run:\n{options}\nincidents (parameters with their defaults):\n{incidents}"
    _add(commands, "incidents", _incidents, "list the incidents and their parameters")
    _add(commands, "status", _status, "show what a running simulator does")
    start = _add(commands, "start", _start, "start an incident in a running simulator")
    start.add_argument("incident")
    start.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="its parameters, and `seconds`")
    stop = _add(commands, "stop", _stop, "stop an incident in a running simulator")
    stop.add_argument("incident", help="its name, or `all`")
    send = _add(commands, "send", _send, "send an event through a running simulator")
    send.add_argument("event", help=f"one of {', '.join(sorted(EVENTS))}")
    send.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="guild, channel, member, and any field")
    slash = _add(commands, "slash", _slash, "use one of the bot's slash commands")
    slash.add_argument("path", help="its name; for a subcommand `group sub` in quotes")
    slash.add_argument("parameters", nargs="*", metavar="OPTION=VALUE")
    traffic = _add(commands, "traffic", _traffic, "set the traffic of a running simulator")
    traffic.add_argument("rate", help="events per second, or `off`")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],  # pyright: ignore[reportPrivateUsage]
    name: str,
    command: Callable[[argparse.Namespace], None],
    text: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    parser.add_argument("--url", default=URL, help="where the simulator runs (default: %(default)s)")
    return parser


_NUMBERS: tuple[tuple[str, type[int | float], float, str], ...] = (
    ("port", int, 8765, "port to listen on; 0 takes a free one"),
    ("guilds", int, 8, "guilds that exist"),
    ("members", int, 20, "people per guild, besides the bot"),
    ("channels", int, 4, "text channels per guild"),
    ("shards", int, 1, "shards that /gateway/bot advises"),
    ("seed", int, 1, "the seed of the world and the traffic"),
    ("rate", float, 0.0, "events per second; 0 for none"),
    ("heartbeat", float, 41.25, "heartbeat interval in seconds"),
    ("max-concurrency", int, 1, "IDENTIFYs let through per five seconds"),
    ("session-starts", int, 1000, "session starts that are left"),
)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_run)
    parser.description = "Run a simulator until Ctrl-C."
    for name, kind, default, text in _NUMBERS:
        parser.add_argument(f"--{name}", type=kind, default=kind(default), help=f"{text} (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--token", default="simulator-token", help="the bot token it takes (default: %(default)s)")
    parser.add_argument("--disallow", action="append", default=[], choices=list(PRIVILEGED), help="a privileged intent")
    parser.add_argument("--quick", action="store_true", help="do not enforce the limits that make starting slow")
    parser.add_argument(
        "--incident",
        action="append",
        default=[],
        metavar="NAME[:KEY=VALUE,…][@SECONDS]",
        help="start an incident, SECONDS after the first shard is ready (default: at once); may be repeated",
    )


def _run(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    planned = [_planned(text) for text in options.incident]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options, planned))


async def _serve(options: argparse.Namespace, planned: list[tuple[str, dict[str, Any], float]]) -> None:
    sim = _simulator(options)
    try:
        await sim.start()
    except OSError as problem:
        raise Problem(f"cannot listen on {options.host}:{options.port}: {problem.strerror}") from None
    try:
        print(f"Discord simulator on {sim.url}, token {sim.token!r}; Ctrl-C stops it.", flush=True)
        if options.rate:
            await sim.start_traffic(options.rate, seed=options.seed)
        await _until_interrupted([_later(sim, *plan) for plan in planned])
    finally:
        await sim.close()
        print("Stopped.", flush=True)


def _simulator(options: argparse.Namespace) -> Simulator:
    if min(options.guilds, options.members, options.channels, options.rate) < 0 or options.shards < 1:
        raise Problem("--guilds, --members, --channels and --rate must not be negative, --shards must be 1 or more")
    return Simulator(
        host=options.host,
        port=options.port,
        guilds=options.guilds,
        members=options.members,
        channels=options.channels,
        shards=options.shards,
        seed=options.seed,
        token=options.token,
        heartbeat_interval=options.heartbeat,
        max_concurrency=options.max_concurrency,
        session_start_limit=options.session_starts,
        disallowed_intents=options.disallow,
        limits=QUICK if options.quick else DISCORD,
    )


async def _until_interrupted(work: list[Any]) -> None:
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers; there Ctrl-C ends `asyncio.run` itself.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    tasks = [asyncio.create_task(one) for one in work]
    try:
        await stopped.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _later(sim: Simulator, name: str, parameters: dict[str, Any], delay: float) -> None:
    while not sim.sessions:
        await sim.gateway.changed.wait()
    await asyncio.sleep(delay)
    seconds = parameters.pop("seconds", None)
    try:
        await sim.incident(name, seconds=None if seconds is None else float(seconds), **parameters)
    except (LookupError, ValueError) as problem:
        print(f"incident {name} does not start: {problem}", file=sys.stderr, flush=True)


def _planned(text: str) -> tuple[str, dict[str, Any], float]:
    """Read `NAME[:KEY=VALUE,…][@SECONDS]`."""
    rest, _, delay = text.partition("@")
    name, _, given = rest.partition(":")
    parameters = _pairs([pair for pair in given.split(",") if pair])
    known = incidents_module.INCIDENTS.get(name)
    if known is None:
        raise Problem(f"no incident {name!r}; there are {', '.join(incidents_module.INCIDENTS)}")
    try:
        known.read({key: value for key, value in parameters.items() if key != "seconds"})
        return name, parameters, float(delay or 0)
    except ValueError as problem:
        raise Problem(f"--incident {text}: {problem}") from None


def _pairs(given: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE; a value is JSON if it can be read as that, else text."""
    pairs: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Problem(f"{pair!r} is not NAME=VALUE")
        try:
            pairs[name] = json.loads(value)
        except ValueError:
            pairs[name] = value
    return pairs


def _incidents(_: argparse.Namespace) -> None:
    print("\n".join(incident_table()))


def _status(options: argparse.Namespace) -> None:
    print(json.dumps(_ask(options, "GET", "status"), indent=2))


def _start(options: argparse.Namespace) -> None:
    started = _ask(options, "POST", f"incidents/{options.incident}", _pairs(options.parameters))
    print(f"started {started['incident']} {started['parameters'] or ''}")


def _stop(options: argparse.Namespace) -> None:
    print(f"stopped {_ask(options, 'DELETE', f'incidents/{options.incident}')['stopped']}")


def _send(options: argparse.Namespace) -> None:
    print(json.dumps(_ask(options, "POST", f"events/{options.event}", _pairs(options.parameters))))


def _slash(options: argparse.Namespace) -> None:
    given = _pairs(options.parameters)
    where = {name: given.pop(name) for name in ("guild", "channel", "member") if name in given}
    print(f"sent {_ask(options, 'POST', 'slash', {'path': options.path, 'options': given} | where)['id']}")


def _traffic(options: argparse.Namespace) -> None:
    if options.rate == "off":
        _ask(options, "DELETE", "traffic")
        print("traffic is off")
        return
    print(f"traffic: {_ask(options, 'POST', 'traffic', {'rate': options.rate})['traffic']['rate']} events/s")


def _ask(options: argparse.Namespace, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Ask a running simulator."""
    data = None if body is None else json.dumps(body).encode()
    url = f"{options.url.rstrip('/')}/control/{path}"
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310  the user names it
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  the user names it
            return cast("dict[str, Any]", json.load(answer))
    except urllib.error.HTTPError as problem:
        with problem:
            raise Problem(_message(problem.read())) from None
    except (OSError, ValueError) as problem:
        raise Problem(f"no simulator at {options.url}: {getattr(problem, 'reason', problem)}") from None


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")
