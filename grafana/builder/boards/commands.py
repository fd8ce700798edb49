"""Commands and interactions: how many, how fast, how often they fail, and what of the budget is left."""

from __future__ import annotations

from typing import Final

from grafana.builder.looks import COLOURED_OUTCOMES, Steps, falling, rising
from grafana.builder.model import Board, Panel, Query, Row
from grafana.builder.panels import POINTS, Column, bars, heat, lines, stat, table
from grafana.builder.promql import FAULTS, LATE, counted, mean, quantile, ratio
from grafana.builder.variables import ANNOTATIONS, STANDARD, choice_variable, query_variable

CHOSEN: Final = 'command=~"$command", '
QUIET: Final = "nobody used a command in this time"
NOBODY: Final = "there was no interaction in this time"

FAILED: Final = f"sum(increase(discord_commands_total{{{CHOSEN}{FAULTS}, *}}[$window]))"
ENDED: Final = f"sum(increase(discord_commands_total{{{CHOSEN}*}}[$window]))"

USED: Final = f"sum by (command) (increase(discord_commands_total{{{CHOSEN}*}}[$__range]))"

BURN_STEPS: Final[Steps] = ((None, "green"), (1, "orange"), (14.4, "red"))
SHORT: Final = "5m"
WINDOWS: Final = (SHORT, "1h", "6h")


def _share(part: str, whole: str, window: str) -> str:
    return ratio(part, whole).replace("$window", window)


def _over(counted: str, window: str) -> str:
    """What was counted in a long time, made of short ones: each sample is read once, not anew at every point."""
    shortly = counted.replace("$window", SHORT)
    return shortly if window == SHORT else f"sum_over_time({shortly}[{window}:{SHORT}])"


def _level(name: str, part: str, whole: str, says: str) -> tuple[Panel, Panel]:
    """What is left of a budget, and how fast it is used up."""
    left = stat(
        f"{name}: budget left",
        "percentunit",
        f"1 - {_share(part, whole, '$__range')} / (1 - $slo)",
        says=f"{says} Of the failures that the objective (box above) allows in the shown time, the share that is left. "
        "Negative: the objective is missed; find the command in the table above before anything new is released.",
        steps=falling(0, 0.25),
        decimals=1,
        width=6,
        height=8,
        empty=QUIET,
    )
    burn = lines(
        f"{name}: burn rate",
        "none",
        *(Query(f"{ratio(_over(part, each), _over(whole, each))} / (1 - $slo)", each) for each in WINDOWS),
        says=f"{says} How many times faster than allowed the budget is used. 1 uses it up in time; 14.4 in the short "
        "and the long window is 2 % of a month's in an hour: look now.",
        steps=BURN_STEPS,
        apart=SHORT,
        width=6,
        empty=QUIET,
    )
    return left, burn


BOARD: Final = Board(
    "commands",
    "Commands & interactions",
    "Which commands are used, how long they take, which fail and by whose fault; Discord's deadline of 3 s.",
    (
        *STANDARD,
        query_variable(
            "command",
            "Command",
            'label_values(discord_commands_total{job=~"$job", bot=~"$bot", cluster=~"$cluster"}, command)',
        ),
        choice_variable("slo", "Objective", "0.99", "0.995", "0.999", "0.95"),
    ),
    (
        Row(
            "Commands",
            (
                lines(
                    "Commands by outcome",
                    "reqps",
                    Query(f"sum by (outcome) (rate(discord_commands_total{{{CHOSEN}*}}[*]))", "{{outcome}}"),
                    points=POINTS,
                    says="How the chosen commands end. bot_error is a bug, or a permission the bot lacks: see Errors "
                    "below. discord_error is Discord: its status page. rejected and user_error are the user's.",
                    stacked=True,
                    colours=COLOURED_OUTCOMES,
                    empty=QUIET,
                ),
                lines(
                    "Share that fails",
                    "percentunit",
                    Query(_share(FAILED, ENDED, "$__rate_interval"), "bot's or Discord's fault"),
                    points=POINTS,
                    says="Commands that ended by the bot's fault or Discord's. One failure of few commands looks "
                    "large: compare with Commands by outcome. Rising after a release: take it back.",
                    steps=rising(0.01, 0.05),
                    empty=QUIET,
                ),
                lines(
                    "Duration",
                    "s",
                    *(
                        Query(quantile(rank, "discord_command_duration_seconds"), name)
                        for rank, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                    ),
                    says="Receipt to the end of a command, failures too, of all commands. Slow together with the "
                    "event loop's lag: something blocks the process; slow alone: what the commands wait for.",
                    steps=rising(2, 5),
                    empty=QUIET,
                ),
                lines(
                    "Duration by type, p95",
                    "s",
                    Query(quantile(0.95, "discord_command_duration_seconds", "type"), "{{type}}"),
                    says="Slash commands, menus of users and of messages, prefix commands. One type alone: its "
                    "checks, or how its messages are parsed.",
                    steps=rising(2, 5),
                    empty=QUIET,
                ),
                heat(
                    "Duration, spread",
                    "s",
                    "sum by (le) (increase(discord_command_duration_seconds_bucket{*}[*]))",
                    says="Two bands are two kinds of commands, or a cache that misses. A band that moves up slowly is "
                    "a table that grows without an index.",
                    empty=QUIET,
                ),
                bars(
                    "Most used",
                    "short",
                    Query(
                        f"sort_desc(topk(15, round({USED}) > 0))",
                        "{{command}}",
                    ),
                    says="Commands by how often they were used in the shown time. One that is missing here is one "
                    "that nobody finds; other is what came after the first 160 (ARGUS_MAX_COMMANDS).",
                    empty=QUIET,
                ),
                table(
                    "By command",
                    Column(
                        "Used",
                        "short",
                        f"round({USED}) > 0",
                    ),
                    Column(
                        "Fails",
                        "percentunit",
                        ratio(
                            f"sum by (command) (increase(discord_commands_total{{{CHOSEN}{FAULTS}, *}}[$__range]))",
                            USED,
                        ),
                        rising(0.01, 0.05),
                    ),
                    Column(
                        "Mean",
                        "s",
                        mean("discord_command_duration_by_command_seconds", "command", CHOSEN),
                        rising(1, 3),
                    ),
                    Column(
                        "p95, about",
                        "s",
                        quantile(0.95, "discord_command_duration_by_command_seconds", "command", CHOSEN, "$__range"),
                        rising(2, 5),
                    ),
                    says="Each command of the shown time. Sort by Fails for what is broken, by Mean for what is slow; "
                    "p95 is read from few buckets (0.25, 1, 3, 10 s) and rough.",
                    sort="Used",
                    height=10,
                    width=16,
                    empty=QUIET,
                ),
                stat(
                    "Running now",
                    "none",
                    "sum(discord_commands_in_flight{*})",
                    says="Commands that have begun and not ended. Growing without more use: something they wait for "
                    "does not answer; a timeout there.",
                    steps=rising(50, 200),
                    width=4,
                    height=5,
                ),
                stat(
                    "Unanswered now",
                    "none",
                    "sum(discord_interactions_in_flight{*})",
                    says="Interactions that are neither answered nor expired. Growing: the bot answers slower than "
                    "they come; see Event loop lag and Time to first response.",
                    steps=rising(50, 200),
                    width=4,
                    height=5,
                    empty="responses cannot be seen with this discord.py",
                ),
            ),
        ),
        Row(
            "The deadline of 3 s",
            (
                lines(
                    "Interactions by type",
                    "reqps",
                    Query("sum by (type) (rate(discord_interactions_total{*}[*]))", "{{type}}"),
                    says="As they arrive. Autocomplete comes with each key that is pressed: many of them are normal.",
                    stacked=True,
                ),
                lines(
                    "First response, p95",
                    "s",
                    Query(quantile(0.95, "discord_interaction_ack_seconds", "type"), "{{type}}"),
                    says="Receipt to the first response that Discord took, a defer included. Where it nears 3 s, "
                    "defer first and work then.",
                    steps=rising(1.5, 3),
                    empty=NOBODY,
                ),
                heat(
                    "First response, spread",
                    "s",
                    "sum by (le) (increase(discord_interaction_ack_seconds_bucket{*}[*]))",
                    says="A band near 3 s is a command that works before it answers: defer it.",
                    empty=NOBODY,
                ),
                lines(
                    "Missed deadline",
                    "percentunit",
                    Query(
                        _share(LATE, "sum(increase(discord_interactions_total{*}[$window]))", "$__rate_interval"),
                        "missed",
                    ),
                    says="Interactions without a response within 3 s of their creation: users see 'This interaction "
                    "failed'. The panels beside and below say which part of the 3 s was used up, and by what. A miss "
                    "is counted up to 3 s after its receipt: after a peak the share can be above 100 % for a moment.",
                    steps=rising(0.005, 0.01),
                    empty=NOBODY,
                ),
                lines(
                    "Why it was missed",
                    "short",
                    Query("sum(increase(discord_interactions_unanswered_total{*}[*]))", "nothing tried to answer"),
                    Query(counted("discord_interaction_ack_failures_total{*}", "status"), "refused: {{status}}"),
                    Query("sum(increase(argus_exporter_interactions_evicted_total{*}[*]))", "no longer followed"),
                    says="Nothing tried: a view that is gone after a restart (make it persistent), a command that "
                    "raised first. 404: too late. 400: mostly a second response. Not followed: 10,000 were open.",
                    empty="every interaction was answered",
                ),
                lines(
                    "On the way here",
                    "s",
                    *(
                        Query(quantile(rank, "discord_interaction_delivery_seconds"), name)
                        for rank, name in ((0.5, "p50"), (0.95, "p95"))
                    ),
                    says="Creation at Discord to receipt here, corrected by the clocks' difference. High: the gateway "
                    "or the network, or an event loop that reads late. It is lost from the 3 s.",
                    steps=rising(0.5, 1.5),
                    empty=NOBODY,
                ),
                lines(
                    "Until their end, p95",
                    "s",
                    Query(quantile(0.95, "discord_interaction_duration_seconds", "type"), "{{type}}"),
                    says="Receipt to the end of the command, view or modal. May be long where it was deferred; "
                    "Discord takes follow-ups for 15 minutes.",
                    empty=NOBODY,
                ),
                lines(
                    "Handlers by outcome",
                    "reqps",
                    Query(
                        "sum by (type, outcome) (rate(discord_interactions_handled_total{*}[*]))",
                        "{{type}} {{outcome}}",
                    ),
                    says="How commands, views and modals ended. bot_error of components and modals stands only here: "
                    "their on_error and the bot's log have the traceback.",
                    width=16,
                    empty=NOBODY,
                ),
            ),
        ),
        Row(
            "Service levels",
            (
                *_level("Commands", FAILED, ENDED, "Commands that failed by the bot's fault or Discord's."),
                *_level(
                    "Answers",
                    LATE,
                    "sum(increase(discord_interactions_total{*}[$window]))",
                    "Interactions not answered within 3 s.",
                ),
            ),
        ),
        Row(
            "Errors",
            (
                lines(
                    "Exceptions",
                    "short",
                    Query(counted(f"discord_command_errors_total{{{CHOSEN}*}}", "error"), "{{error}}"),
                    says="Classes of the exceptions that ended commands, refusals and wrong input too. A new name "
                    "since a release is its bug.",
                    width=10,
                    apart="30s",  # at each point all that a fleet has raised is looked for in what was there before
                    empty="no command has failed",
                ),
                table(
                    "Exceptions by command",
                    Column(
                        "Times",
                        "short",
                        counted(f"discord_command_errors_total{{{CHOSEN}*}}", "command, error", "$__range"),
                    ),
                    says="In the shown time. The bot's error log (ARGUS_ERROR_LOG) and Sentry have the traceback.",
                    sort="Times",
                    width=14,
                    empty="no command has failed",
                ),
            ),
        ),
    ),
    ANNOTATIONS,
)
