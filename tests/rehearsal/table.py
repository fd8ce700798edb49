"""What goes wrong, and which alerts it fires: exactly these, none other, and all of them are over afterwards.

The rows follow from what each incident is, not from what was seen to fire. A change made later has its reason in
``changed``. Minutes are those of the rules: they are scaled. Rates per second are real.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Final

from tests.rehearsal import incidents
from tests.rehearsal.incidents import (
    Incident,
    discord,
    discord_often,
    discord_once,
    ended,
    joined,
    restarted,
    tell,
    tell_often,
    together,
    use,
)
from tests.rehearsal.scene import CHAT, PATIENCE, PINGS, Process

if typing.TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """An incident and its alerts.

    :param name: also the bot's.
    :param what: what happens, and why it fires these alerts and no others.
    :param fires: alerts that somebody is told of while it lasts.
    :param follows: alerts that somebody is told of when it is over.
    :param mutes: alerts that fire in Prometheus, and that Alertmanager keeps to itself because of one that it tells of.
    :param changed: why the row is not any more what it was at first.
    :param fleet: the bot's processes.
    :param warm: minutes that all is well before.
    :param lasts: minutes that it goes on after its alerts have come: time for those that must not come.
    :param history: the share of commands that failed in the three days before; None where nothing is known of them.
    :param patience: real seconds of silence that discord.py bears.
    :param chat: events for each shard a second.
    :param pings: commands that people use a second, and that are well.
    :param pushes: whether it also pushes to a StatsD server.
    :param records: the settings of its analytics, where it also records into a PostgreSQL.
    :param quick: whether CI rehearses it.
    """

    name: str
    what: str
    incident: Incident
    fires: frozenset[str] = frozenset()
    follows: frozenset[str] = frozenset()
    mutes: frozenset[str] = frozenset()
    changed: str = ""
    fleet: tuple[Process, ...] = (Process(),)
    warm: float = 5.0
    lasts: float = 5.0
    history: float | None = None
    patience: float = PATIENCE
    chat: float = CHAT
    pings: float = PINGS
    pushes: bool = False
    records: Mapping[str, object] | None = None
    quick: bool = False

    @property
    def told(self) -> frozenset[str]:
        """All that somebody is told of."""
        return self.fires | self.follows


def _shards(count: int) -> tuple[Process, ...]:
    return (Process(tuple(range(count)), count),)


def _alerts(names: str) -> frozenset[str]:
    return frozenset(names.split())


_SOON: Final = {"batch_seconds": 0.2}
"""What is recorded is written soon, as time runs faster."""

_TWO: Final = (Process((0,), 2, "0"), Process((1,), 2, "1"))
_FOR_EVER: Final = 3600.0
_NIGHT: Final = 0.0
"""Nobody uses the bot: what is wrong with commands is none of the incident."""

_REPLAYED: Final = (
    "Moved to the night after the first rehearsal: interactions that a shard misses are replayed when it resumes, too "
    "late to be answered, and so they fired the alerts of late_delivery as well. That is true, and is rehearsed there."
)

ROWS: Final[tuple[Row, ...]] = (
    # ------------------------------------------------------------------------------------- nothing wrong
    Row(
        name="calm",
        what="All is well for a long time.",
        incident=incidents.nothing,
        fleet=_shards(3),
        lasts=40,
        quick=True,
        changed="At first with a history: since the past weighs as much as the present, only rows about a budget "
        "have one.",
    ),
    Row(
        name="refused_politely",
        what="A command says no to most who use it: a rule of the bot, and nobody's fault.",
        incident=use("refuse", 4),
        lasts=20,
        quick=True,
        changed="At first with a history: since the past weighs as much as the present, only rows about a budget "
        "have one.",
    ),
    Row(
        name="reconnect_once",
        what="Discord asks every shard once to reconnect, as it does now and then: all resume.",
        incident=discord_once("reconnect", shard=-1),
        fleet=_shards(4),
        lasts=20,
    ),
    Row(
        name="slow_acks",
        what="Heartbeats are acknowledged half a second late: a number on a dashboard.",
        incident=discord("slow_acks", delay=0.5),
        fleet=_shards(3),
        lasts=20,
    ),
    Row(
        name="deployment",
        what="The process is replaced once: less than two minutes without it, and one IDENTIFY for each shard.",
        incident=restarted(1, every=15),
        fleet=_shards(2),
    ),
    # ------------------------------------------------------------------------------------- processes
    Row(
        name="killed",
        what="The process is killed and stays away. No other process shares its labels, so nothing else is known.",
        incident=incidents.killed,
        fires=_alerts("ArgusTargetDown"),
        quick=True,
    ),
    Row(
        name="killed_of_two",
        what="One of two processes is killed and stays in the list: that it is gone says that nobody has its shard.",
        incident=incidents.killed,
        fires=_alerts("ArgusTargetDown"),
        mutes=_alerts("DiscordShardMissing"),
        fleet=_TWO,
    ),
    Row(
        name="frozen",
        what="The process does not run, at night: no stall of the event loop, because nothing ran at all.",
        incident=incidents.frozen,
        pings=_NIGHT,
        fires=_alerts("ArgusTargetDown"),
        patience=_FOR_EVER,
    ),
    Row(
        name="intents_revoked",
        what="4014 ends the client and its server with it; only the next process can tell why.",
        incident=ended(discord_once("close", code=4014), minutes=6),
        fires=_alerts("ArgusTargetDown DiscordGatewayFatalClose"),
        quick=True,
    ),
    Row(
        name="token_reset",
        what="4004 ends the client; once somebody has put in the new token, the next process tells why.",
        incident=ended(discord("token_reset"), minutes=6),
        fires=_alerts("ArgusTargetDown DiscordGatewayFatalClose"),
    ),
    Row(
        name="restart_loop",
        what="It dies again and again, and is back at once each time.",
        incident=restarted(4, every=2),
        fires=_alerts("ArgusProcessRestartLoop"),
    ),
    Row(
        name="unlisted",
        what="It runs, but is in no list of targets any more: no target is down.",
        incident=incidents.unlisted,
        fires=_alerts("ArgusTargetDisappeared"),
    ),
    Row(
        name="given_up",
        what="One of two processes is ended and taken from the list: nobody has its shard.",
        incident=incidents.given_up,
        fires=_alerts("ArgusTargetDisappeared DiscordShardMissing"),
        fleet=_TWO,
    ),
    Row(
        name="descriptors",
        what="It keeps files open.",
        incident=tell("open", 0.85, then="close"),
        fires=_alerts("DiscordBotFileDescriptors"),
    ),
    # ------------------------------------------------------------------------------------- shards
    Row(
        name="zombie",
        what="A shard's heartbeats are not answered any more, and discord.py is told to bear that. So few events come "
        "that their absence says nothing.",
        incident=discord("zombie_no_ack", shard=1),
        changed=_REPLAYED,
        fires=_alerts("DiscordShardZombie"),
        fleet=_shards(3),
        patience=_FOR_EVER,
        chat=0.2,
        pings=_NIGHT,
        quick=True,
    ),
    Row(
        name="deaf",
        what="A busy shard's heartbeats are answered, but no events come, after half an hour of many: after a minute "
        "that is silence, after two the exporter calls it a zombie.",
        incident=discord("zombie_ack_only", shard=1),
        changed=_REPLAYED,
        fires=_alerts("DiscordShardSilent DiscordShardZombie"),
        pings=_NIGHT,
        fleet=_shards(3),
        warm=36,
    ),
    Row(
        name="shard_locked_out",
        what="One shard of six loses its connection and gets no new one: a sixth is not many.",
        incident=together(discord("gateway_refuses"), discord_once("close", shard=1)),
        changed=_REPLAYED,
        fires=_alerts("DiscordShardDown"),
        pings=_NIGHT,
        fleet=_shards(6),
        quick=True,
    ),
    Row(
        name="gateway_outage",
        what="All shards lose their connection and get no new one: that many are down says that each is.",
        incident=together(discord("gateway_refuses"), discord_once("close", shard=-1)),
        changed=_REPLAYED,
        fires=_alerts("DiscordShardsDownMany"),
        mutes=_alerts("DiscordShardDown"),
        pings=_NIGHT,
        fleet=_shards(3),
        quick=True,
    ),
    Row(
        name="flapping",
        what="One shard of six loses its connection every other minute, and resumes: too few for a storm.",
        incident=discord_often("drop", every=2, times=9, shard=1),
        changed=_REPLAYED,
        fires=_alerts("DiscordShardFlapping"),
        pings=_NIGHT,
        fleet=_shards(6),
    ),
    Row(
        name="storm",
        what="All shards are asked to reconnect four times within a few minutes: no single one often enough to flap. "
        "Resuming costs nothing.",
        incident=discord_often("reconnect", every=1, times=4, shard=-1),
        fires=_alerts("DiscordReconnectStorm"),
        fleet=_shards(3),
        quick=True,
    ),
    Row(
        name="storm_of_identifies",
        what="The same, but no session can be resumed: four IDENTIFYs a shard in four minutes would use up a day's "
        "thousand before the day is over.",
        incident=together(discord("resumes_fail"), discord_often("reconnect", every=1, times=4, shard=-1)),
        fires=_alerts("DiscordReconnectStorm DiscordIdentifyBudgetExhaustion"),
        fleet=_shards(3),
    ),
    Row(
        name="few_identifies_left",
        what="At the end of the day 85 % of the session starts are used up: they last until the day is over.",
        incident=discord("identify_budget", remaining=150, reset_after=60),
        fires=_alerts("DiscordIdentifyBudgetLow"),
        changed="The end of the day was added after the first rehearsal: 850 session starts that are gone within ten "
        "minutes are rightly said to be exhausted soon, if the day has just begun.",
    ),
    Row(
        name="shut_out_at_the_start",
        what="The process is replaced, and its first connection is refused: its shard was never launched.",
        incident=incidents.shut_out,
        fires=_alerts("DiscordStartupStuck"),
    ),
    Row(
        name="served_twice",
        what="A second process takes a shard that the first one has. At night: users would see every answer twice.",
        incident=joined(Process((1,), 2)),
        pings=_NIGHT,
        fires=_alerts("DiscordShardDuplicated"),
        fleet=_shards(2),
    ),
    Row(
        name="counted_differently",
        what="A process joins that knows of three shards where the others know two: all three are somebody's, once.",
        incident=joined(Process((2,), 3)),
        pings=_NIGHT,
        fires=_alerts("DiscordShardCountMismatch"),
        fleet=_shards(2),
    ),
    Row(
        name="guild_outage",
        what="Half of the guilds become unavailable; the shards are well.",
        incident=discord("guild_outage", count=3),
        fires=_alerts("DiscordGuildsUnavailable"),
        fleet=_shards(3),
        quick=True,
    ),
    # ------------------------------------------------------------------------------------- commands
    Row(
        name="broken_command",
        what="A command that makes half of all uses raises each time, after its answer: no deadline is missed. Three "
        "good days before keep the slow burn silent.",
        incident=use("fail", 4),
        fires=_alerts("DiscordCommandErrorBudgetBurn DiscordCommandFailing"),
        history=0.0,
        quick=True,
    ),
    Row(
        name="leaking_budget",
        what="Two commands of a hundred fail, for days: too few to page.",
        incident=use("fail", 0.08),
        fires=_alerts("DiscordCommandErrorBudgetBurnSlow"),
        history=0.015,
    ),
    Row(
        name="late_answers",
        what="Three of seven answers come after the 3 s; the commands end well. The burn of the budget is told of when "
        "the deadline is kept again, and for half an hour after.",
        incident=use("dawdle", 3),
        fires=_alerts("DiscordDeadlineMissed"),
        follows=_alerts("DiscordAckErrorBudgetBurn"),
        history=0.0,
        lasts=17,
        changed="Milder and shorter than at first (half of the answers, for 28 minutes); the alerts are those of "
        "the first table.",
    ),
    Row(
        name="no_answers",
        what="Three of seven interactions are never answered: so they are late, too.",
        incident=use("ignore", 3),
        fires=_alerts("DiscordDeadlineMissed DiscordInteractionsUnanswered"),
        follows=_alerts("DiscordAckErrorBudgetBurn"),
        history=0.0,
        lasts=17,
        changed="Milder and shorter than at first (half of the interactions, for 26 minutes); the alerts are "
        "those of the first table.",
    ),
    Row(
        name="late_delivery",
        what="Interactions arrive when it is too late: Discord refuses every answer, and the command with it.",
        incident=discord("late_interactions", late=4.0),
        fires=_alerts("DiscordDeadlineMissed DiscordCommandErrorBudgetBurn DiscordCommandFailing"),
        follows=_alerts("DiscordAckErrorBudgetBurn"),
        history=0.0,
    ),
    # ------------------------------------------------------------------------------------- REST
    Row(
        name="forbidden",
        what="The bot posts where it may not, 15 times a second: a tenth of what bans it in the window.",
        incident=together(discord("invalid_requests", status=403), tell_often("post", every=1, argument=30)),
        fires=_alerts("DiscordInvalidRequestsHigh"),
        quick=True,
    ),
    Row(
        name="forbidden_and_fast",
        what="The same at a pace that bans it, then slower: the warning is told of when the worse is over.",
        incident=together(
            discord("invalid_requests", status=403),
            tell_often("post", every=0.5, argument=70, minutes=12),
            tell_often("post", every=1, argument=30),
        ),
        fires=_alerts("DiscordBanImminent DiscordInvalidRequestsHigh"),
    ),
    Row(
        name="banned",
        what="Cloudflare refuses every request, at night; the bot makes few.",
        incident=together(discord("cloudflare_ban"), tell_often("post", every=4, argument=1)),
        pings=_NIGHT,
        fires=_alerts("DiscordCloudflareBanned"),
        quick=True,
    ),
    Row(
        name="unauthorized",
        what="REST refuses the token; the gateway's sessions go on.",
        incident=together(discord("invalid_requests", status=401), tell_often("post", every=2, argument=1)),
        fires=_alerts("DiscordUnauthorized"),
        quick=True,
    ),
    Row(
        name="global_limit",
        what="The bot meets the global limit; interactions are exempt. Waiting keeps it from meeting it often.",
        incident=together(discord("global_429", retry_after=2.0), tell_often("post", every=2, argument=1)),
        fires=_alerts("DiscordGlobalRateLimited"),
    ),
    Row(
        name="limited_often",
        what="A third of the requests meet a limit of their route.",
        incident=together(discord("user_429", retry_after=0.4), tell_often("post", every=2, argument=1)),
        fires=_alerts("DiscordRateLimitedOften"),
    ),
    Row(
        name="api_errors",
        what="Discord answers with server errors, at night.",
        incident=together(discord("rest_5xx", status=503), tell_often("post", every=1, argument=6)),
        pings=_NIGHT,
        fires=_alerts("DiscordApiErrors"),
        changed="At first 500, which discord.py tries again ever more slowly: 503 it gives up at once, so that "
        "the errors come as often as the bot posts.",
    ),
    Row(
        name="clock_skew",
        what="The own clock is half a minute behind. What compares it with Discord's allows for that.",
        incident=discord("clock_skew", skew=30.0),
        fires=_alerts("DiscordClockSkew"),
        quick=True,
    ),
    # ------------------------------------------------------------------------------------- the bot's own
    Row(
        name="dead_loop",
        what="An exception ends a task loop.",
        incident=tell("obstruct", "broken", then="restart_chores"),
        fires=_alerts("DiscordTaskLoopDead"),
        quick=True,
    ),
    Row(
        name="retried_loop",
        what="A task loop meets an error of the network each time: discord.py tries it again for ever.",
        incident=tell("obstruct", "retried", then="restart_chores"),
        fires=_alerts("DiscordTaskLoopFailing"),
    ),
    Row(
        name="stuck_loop",
        what="A task loop waits for something that never comes.",
        incident=tell("obstruct", "stuck", then="restart_chores"),
        fires=_alerts("DiscordTaskLoopLate"),
        quick=True,
    ),
    Row(
        name="lagging",
        what="Something holds the event loop up for 0.6 s, an eighth of the time: answers are late by that.",
        incident=tell_often("hold", every=2.5, argument=0.6),
        fires=_alerts("DiscordEventLoopLag"),
    ),
    Row(
        name="blocked",
        what="Something holds the event loop up for 0.7 s, half of the time. It is over before the lag of ten "
        "minutes counts.",
        incident=tell_often("hold", every=0.7, argument=0.7),
        fires=_alerts("DiscordEventLoopBlocked"),
        lasts=1,
        changed="At first 1.5 s, a third of the time: a scaled window of the rule is too short to hold enough of "
        "such stalls.",
    ),
    Row(
        name="broken_listener",
        what="A listener raises each time.",
        incident=tell("stumble", then="rise"),
        fires=_alerts("DiscordListenerFailing"),
        quick=True,
        changed="At first it stumbled once a second, when it was told to: now at each event, until it is told to rise.",
    ),
    Row(
        name="broken_metrics",
        what="Metrics of the bot's own cannot be collected: caught at each scrape.",
        incident=tell("register", then="unregister"),
        fires=_alerts("ArgusInstrumentationErrors"),
    ),
    Row(
        name="statsd_away",
        what="Nobody listens any more where StatsD is pushed to.",
        incident=incidents.statsd_away,
        fires=_alerts("ArgusPushStale"),
        changed="At first ArgusDroppedData too: but while nobody is there nothing is sent, and counters make up "
        "for it later. What the first moments lose is no twenty minutes of losses.",
        pushes=True,
    ),
    Row(
        name="folder_away",
        what="The folder of the processes' target files is gone. Prometheus knows them by another list.",
        incident=incidents.folder_away,
        fires=_alerts("ArgusTargetFileErrors"),
    ),
    Row(
        name="nonsense",
        what="The bot records amounts in a metric of its own that are no amounts: they are left out.",
        incident=tell_often("misrecord", every=1),
        fires=_alerts("ArgusDroppedData"),
    ),
    Row(
        name="many_loggers",
        what="Libraries log by more names than the label takes, for more than two hours.",
        incident=tell_often("chatter", every=5, argument=60),
        fires=_alerts("ArgusLabelOverflow"),
    ),
    # ------------------------------------------------------------------------------------- analytics
    Row(
        name="database_away",
        what="The database is not there for a while. What is recorded waits, is written afterwards, and is not lost.",
        incident=incidents.database_away,
        fires=_alerts("ArgusAnalyticsFailing"),
        records=_SOON,
        lasts=15,
        quick=True,
    ),
    Row(
        name="database_never_there",
        what="The database is not there when the bot starts, which starts all the same and serves its page.",
        incident=incidents.database_never_there,
        fires=_alerts("ArgusAnalyticsFailing"),
        records=_SOON,
    ),
    Row(
        name="database_away_too_long",
        what="The database is away for longer than its rows have room, four a second and 100 in all. That the queue is "
        "full goes without saying.",
        incident=incidents.database_away,
        fires=_alerts("ArgusAnalyticsFailing ArgusAnalyticsLosingRows"),
        mutes=_alerts("ArgusAnalyticsQueueFull"),
        records={**_SOON, "queue_rows": 100},
        pings=2,
    ),
    Row(
        name="overflow",
        what="The queue has room for what comes in ten seconds, and is emptied every ten. Then twenty times as much "
        "comes. The database is well.",
        incident=use("ping", 20),
        fires=_alerts("ArgusAnalyticsLosingRows"),
        mutes=_alerts("ArgusAnalyticsQueueFull"),
        records={"batch_seconds": 10, "queue_rows": 100},
        pings=1,
        quick=True,
    ),
)

UNREHEARSED: Final = {
    "ArgusAbsent": "no bot at all is to be there, and here one always is; its expression is one word",
    "ArgusScrapeSlow": "a scrape of 5 s is longer than the scaled interval, in which Prometheus gives up",
    "ArgusCollectorDegraded": "no discord.py that is supported lets a collector fall back",
    "DiscordAckErrorBudgetBurnSlow": "the twin of DiscordCommandErrorBudgetBurnSlow, and ten minutes longer",
    "DiscordShardGuildsHigh": "a shard of 2,250 guilds takes a machine to itself",
    "DiscordBotMemoryGrowth": "seven hours and one more are 16 minutes, scaled",
}
"""Alerts that no row fires, and why. promtool has a case for each of them, as for all."""
