"""The queue before a database: every row waits, or is written, or is lost, and each is counted as what it is."""

from __future__ import annotations

import asyncio
import logging
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from argus_exporter.analytics.events import TABLES, Kind, Table
from argus_exporter.analytics.queue import ATTEMPT_SECONDS, LONGEST_PAUSE, QUIET_SECONDS, Limits
from tests.analytics.memory import LIMITS, World, jumping, world

SMALL = Limits(rows=12, bytes=12 * 1000, batch_rows=4, batch_seconds=5.0)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged since it was asked last."""

    def take() -> list[str]:
        said = [record.getMessage() for record in caplog.records if record.name == "argus_exporter.analytics.queue"]
        caplog.clear()
        return said

    caplog.set_level(logging.INFO)
    return take


# ------------------------------------------------------------------------------------------------ batches


def test_a_full_batch_is_written_at_once_and_a_small_one_when_it_is_old() -> None:
    with world() as bot:
        bot.start()
        bot.wait(100)
        bot.put(*range(LIMITS.batch_rows + 1))
        bot.wait(0.1)
        assert bot.sink.stored() == [*range(LIMITS.batch_rows)]
        bot.wait(4.8)
        bot.put(11)
        assert len(bot.sink.batches) == 1
        bot.wait(0.2)
        assert bot.sink.stored() == [*range(LIMITS.batch_rows + 2)]
        assert bot.sink.asked("open") == [0]
        bot.put(12)
        bot.wait(4.9)
        assert len(bot.sink.batches) == 2
        bot.wait(0.2)
        assert len(bot.sink.batches) == 3
        bot.put(13)
        bot.wait(1)
        bot.put(*range(LIMITS.batch_rows - 1))
        bot.wait(0.1)
        assert len(bot.sink.batches) == 4


def test_a_batch_has_the_rows_by_table_in_their_order_and_a_token_of_its_own() -> None:
    with world() as bot:
        bot.start()
        for number in range(20):
            bot.put(number, table=("commands", "interactions")[number % 2])
        bot.wait(1)
        first, second = bot.sink.batches.values()
        assert [[values[0] for values in rows] for rows in first.rows.values()] == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]
        assert list(second.rows) == ["commands", "interactions"]
        assert first.token != second.token
        assert len(first) == LIMITS.batch_rows


def test_the_age_of_rows_counts_from_their_coming_while_others_are_written_too() -> None:
    with world() as bot:
        bot.start()
        bot.sink.mode = "slow"
        bot.put(*range(LIMITS.batch_rows))
        bot.wait(1)
        bot.put(100)  # while the first batch is written, until 3.0
        bot.wait(4.9)
        assert bot.sink.asked("write") == [0.0]
        bot.wait(0.2)
        assert bot.sink.asked("write") == [0.0, pytest.approx(6.0)]


def test_rows_of_tables_that_are_not_kept_are_let_go() -> None:
    with world(tables=[table for table in TABLES if table.name == "commands"]) as bot:
        bot.put(1, table="users")
        bot.put(2)
        assert bot.queue.rows == 1
        assert bot.count("queued_total") == bot.count("queued_total", "commands") == 1
        families = bot.instruments.families
        assert [*families["argus_exporter_analytics_written_total"].cells] == [("commands",)]


# ------------------------------------------------------------------------------------------------ bounds


def test_what_finds_no_room_is_lost_by_the_reason_and_counted() -> None:
    with world(SMALL) as bot:
        bot.put(*range(SMALL.rows + 3))
        assert (bot.queue.rows, bot.lost("rows"), bot.lost("bytes")) == (SMALL.rows, 3, 0)
        assert bot.count("queue_rows") == bot.count("queue_rows_limit") == SMALL.rows
        assert bot.count("queued_total") == SMALL.rows + 3
    with world(SMALL._replace(rows=100)) as bot:
        bot.put(*range(20))
        assert (bot.queue.rows, bot.lost("bytes")) == (12, 8)
        assert bot.count("queue_bytes") == bot.count("queue_bytes_limit") == 12_000
        bot.put(1, table="messages")
        assert bot.lost("bytes") == 9


def test_room_is_free_again_when_rows_are_written() -> None:
    with world(SMALL) as bot:
        bot.put(*range(12))
        bot.start()
        bot.wait(1)
        assert (bot.queue.rows, bot.queue.bytes) == (0, 0)
        bot.put(*range(12))
        assert bot.lost("rows") == 0


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_full_queue_takes_no_more_memory_than_it_says(table: Table) -> None:
    wide = str.maketrans({str(digit): chr(0x1F600 + digit) for digit in range(10)})

    def value(kind: Kind, number: int) -> object:
        if kind is Kind.TEXT:
            return f"{number:0100}".translate(wide)
        return {Kind.SECONDS: number / 7, Kind.WORD: "word", Kind.FLAG: True}.get(kind, 2**62 + number)

    count, kinds = 2000, [column.kind for column in table.columns]
    with world(Limits(count, 2**30, 100, 5.0)) as bot:
        tracemalloc.start()
        for number in range(count):
            bot.queue.put(table.name, [tuple([value(kind, number) for kind in kinds])])
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert bot.queue.rows == count
        assert taken <= bot.queue.bytes


# ------------------------------------------------------------------------------------------------ trouble


def test_what_fails_is_tried_again_after_longer_and_longer_pauses_and_nothing_is_lost() -> None:
    with world() as bot:
        bot.sink.mode = "away"
        bot.start()
        bot.put(*range(25))
        bot.wait(60_000)
        assert not bot.sink.asked("write")
        pauses = [after - before for before, after in pairwise(bot.sink.asked("open"))]
        bounds = [min(LONGEST_PAUSE, 0.5 * 2 ** min(number, 99)) for number in range(len(pauses))]
        assert all(pause <= bound + 1e-6 for pause, bound in zip(pauses, bounds, strict=True))
        assert max(pauses) > 30
        assert len({round(pause, 3) for pause in pauses[10:]}) > 10
        assert bot.count("failures_total") == len(pauses) + 1
        bot.sink.mode = "well"
        bot.wait(LONGEST_PAUSE + 1)
        assert bot.sink.stored() == [*range(25)]
        bot.sink.mode = "away"
        failed = len(bot.sink.calls)
        bot.put(*range(10))
        bot.wait(0.6)
        assert len(bot.sink.calls) > failed + 1  # the pauses are short again


def test_after_a_failed_write_the_database_is_opened_anew_and_has_the_batch_once() -> None:
    with world() as bot:
        bot.start()
        bot.wait(1)
        bot.sink.mode = "mute"
        bot.put(*range(10))
        bot.wait(100)
        assert bot.sink.stored() == [*range(10)]
        assert bot.count("written_total") == 0
        bot.sink.mode = "well"
        bot.wait(100)
        assert bot.sink.stored() == [*range(10)]
        assert (bot.count("written_total"), bot.queue.rows) == (10, 0)
        order = [call for call, _ in bot.sink.calls]
        assert order[:4] == ["open", "write", "open", "write"]
        assert order[-2:] == ["open", "write"]


def test_an_attempt_that_takes_too_long_is_given_up_and_tried_again(lines: Callable[[], list[str]]) -> None:
    with world() as bot:
        bot.start()
        bot.sink.mode = "hangs"
        bot.put(*range(10))
        bot.wait(ATTEMPT_SECONDS + 1)
        assert bot.count("failures_total") == 1
        assert lines() == [
            "cannot write to clickhouse://***@db/bots, trying on, 10 rows wait: TimeoutError: no answer within 30 s"
        ]
        bot.sink.mode = "well"
        bot.wait(2 * ATTEMPT_SECONDS)  # the attempt that hangs, and pauses that are left to chance
        assert bot.count("written_total") == 10


def test_a_database_that_cancels_itself_has_failed() -> None:
    with world() as bot:
        bot.sink.mode = "gone"
        bot.start()
        bot.put(1)
        bot.wait(1)
        bot.sink.mode = "well"
        bot.wait(100)
        assert bot.count("written_total") == 1
        assert bot.count("failures_total") > 0


def test_of_a_batch_that_is_refused_only_what_is_not_allowed_is_lost(lines: Callable[[], list[str]]) -> None:
    with world(LIMITS._replace(batch_rows=40)) as bot:
        bot.sink.refused = {3, 17, 18}
        for number in range(40):
            bot.put(number, table=("commands", "interactions")[number % 2])
        bot.start()
        bot.wait(1)
        assert bot.sink.stored("commands") == [number for number in range(0, 40, 2) if number != 18]
        assert bot.sink.stored("interactions") == [number for number in range(1, 40, 2) if number not in {3, 17}]
        assert (bot.lost("refused"), bot.count("written_total"), bot.queue.rows) == (3, 37, 0)
        assert bot.count("lost_total", "interactions", "refused") == 2
        (token,) = {token.partition("-")[0] for token in bot.sink.batches}
        assert all(len(each) < len(token) + 20 for each in bot.sink.batches)
        assert bot.sink.asked("open") == [0]
        (line,) = lines()
        assert line.startswith("clickhouse://***@db/bots does not allow a row of commands, which is lost: RefusedError")
        assert line.endswith(": a value that *** may not write")


def test_the_halves_of_a_refused_batch_have_the_same_tokens_at_every_attempt() -> None:
    with world() as bot:
        bot.sink.refused = {0}
        bot.put(*range(10))
        bot.start()
        bot.sink.mode = "mute"
        bot.wait(30)
        bot.sink.mode = "well"
        bot.wait(60)
        assert bot.sink.stored() == [*range(1, 10)]
        assert (bot.lost("refused"), bot.count("written_total")) == (1, 9)


def test_the_log_says_once_that_the_database_is_away_and_once_that_it_is_back(
    lines: Callable[[], list[str]],
) -> None:
    with world() as bot:
        bot.sink.mode = "away"
        bot.put(*range(15))
        bot.start()
        bot.wait(600)
        assert lines() == [
            "cannot write to clickhouse://***@db/bots, trying on, 15 rows wait: ConnectionRefusedError: no *** at ***"
        ]
        bot.sink.mode = "well"
        bot.wait(100)
        assert lines() == ["writing to clickhouse://***@db/bots works again, 5 rows wait"]
        bot.wait(100)


def test_a_database_that_comes_and_goes_does_not_flood_the_log(lines: Callable[[], list[str]]) -> None:
    with world() as bot:
        bot.start()
        for number in range(200):
            bot.sink.mode = ("away", "well")[number % 2]
            bot.put(*range(10))
            bot.wait(1)
        assert 2 <= len(lines()) <= 2 + 2 * 200 / QUIET_SECONDS
        bot.wait(2 * QUIET_SECONDS)
        bot.sink.refused = {*range(10)}
        bot.put(*range(10))
        bot.wait(5)
        assert bot.lost("refused") == 10
        assert sum("does not allow" in line for line in lines()) == 1


def test_a_database_that_is_away_at_boot_and_comes_is_said_to_be_back_without_a_row(
    lines: Callable[[], list[str]],
) -> None:
    with world() as bot:
        bot.sink.mode = "away"
        bot.start()
        bot.wait(10)
        bot.sink.mode = "well"
        bot.wait(60)
        assert [line.split(":")[0][:12] for line in lines()] == ["cannot write", "writing to c"]


def test_how_long_writing_takes_and_when_it_last_did_are_told() -> None:
    with world() as bot:
        bot.start()
        bot.wait(1)
        assert bot.count("last_write_timestamp_seconds") == 0
        before = time.time()
        bot.sink.mode = "slow"
        bot.put(*range(10))
        bot.wait(5)
        cell: Any = bot.instruments.families["argus_exporter_analytics_write_seconds"].cells[()]
        assert cell.sum == pytest.approx(3)
        assert sum(cell.counts) == 1
        assert before <= bot.count("last_write_timestamp_seconds") <= time.time()


# ------------------------------------------------------------------------------------------------ the end


def test_closing_writes_what_waits(lines: Callable[[], list[str]]) -> None:
    with world() as bot:
        bot.start()
        bot.wait(1)
        bot.put(*range(25))
        bot.close()
        assert bot.sink.stored() == [*range(25)]
        assert bot.sink.calls[-1][0] == "close"
        assert bot.queue.rows == 0
        assert lines() == []


def test_closing_waits_for_a_slow_database_and_not_for_one_that_hangs(lines: Callable[[], list[str]]) -> None:
    with world() as bot:
        bot.start()
        bot.wait(1)
        bot.put(*range(3))
        bot.put(9, table="users")
        bot.sink.mode = "slow"
        bot.close()
        assert bot.count("written_total") == 4
    with world() as bot:
        bot.start()
        bot.wait(1)
        bot.put(*range(3))
        bot.put(9, table="users")
        bot.sink.mode = "hangs"
        began = bot.loop.time()
        bot.loop.call_later(1, bot.put, 4)
        bot.close()
        assert 4 <= bot.loop.time() - began <= 5
        assert (bot.lost("closing"), bot.queue.rows, bot.queue.bytes) == (5, 0, 0)
        assert lines() == [
            "closed before clickhouse://***@db/bots had all rows: lost are 4 of commands, 1 of users",
        ]


def test_closing_gives_up_soon_where_the_database_is_away_and_not_at_its_first_stumble() -> None:
    with world() as bot:
        bot.sink.mode = "away"
        bot.start()
        bot.put(1)
        bot.wait(500)  # in a long pause
        began = bot.loop.time()
        bot.close()
        assert bot.loop.time() - began < 0.1
        assert bot.lost("closing") == 1
    with world() as bot:
        bot.start()
        bot.wait(1)
        bot.put(1)
        bot.sink.stumbles = 1
        bot.close()
        assert bot.count("written_total") == 1
    with world() as bot:
        bot.sink.mode = "away"
        bot.start()
        bot.put(1)
        bot.wait(500)
        bot.sink.mode, bot.sink.stumbles = "well", 1
        bot.close()
        assert bot.count("written_total") == 1


def test_a_close_that_is_cancelled_still_leaves_nothing_running() -> None:
    with world() as bot:
        bot.start()
        bot.sink.mode = "hangs"
        bot.put(*range(10))
        task = bot.loop.create_task(bot.queue.close())
        bot.loop.call_later(1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            bot.run(task)
        assert bot.lost("closing") == 10
        assert not asyncio.all_tasks(bot.loop)


def test_a_queue_can_be_started_again_and_a_second_start_or_close_does_nothing() -> None:
    with world() as bot:
        bot.start()
        bot.start()
        bot.wait(1)
        assert bot.sink.asked("open") == [0]
        bot.close()
        bot.close()
        assert bot.loop.time() < 1.1
        assert [call for call, _ in bot.sink.calls] == ["open", "close"]
        bot.put(1)
        bot.start()
        bot.wait(10)
        assert bot.sink.stored() == [1]
        assert len(bot.sink.asked("open")) == 2
        bot.close()
        with jumping() as other:
            bot.run = other.run_until_complete
            bot.start()
            bot.put(2)
            bot.wait(10)
            bot.close()
        bot.run = bot.loop.run_until_complete
        assert bot.sink.stored() == [1, 2]


# ------------------------------------------------------------------------------------------------ the sums


class Sums(RuleBasedStateMachine):
    """Whatever the database does, every row is in exactly one place."""

    def __init__(self) -> None:
        super().__init__()
        self.context = jumping()
        self.bot = World(self.context.__enter__(), SMALL)
        self.next = 0

    @rule(count=st.integers(1, 9), table=st.sampled_from(["commands", "messages", "users"]))
    def record(self, count: int, table: str) -> None:
        self.bot.put(*range(self.next, self.next + count), table=table)
        self.next += count

    @rule(mode=st.sampled_from(["well", "away", "hangs", "slow", "mute", "gone"]))
    def behave(self, mode: str) -> None:
        self.bot.sink.mode = mode

    @rule(every=st.integers(1, 5))
    def refuse(self, every: int) -> None:
        self.bot.sink.refused |= {*range(self.next, self.next + 40, every)}

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, 6.0, 31.0, 200.0]))
    def wait(self, seconds: float) -> None:
        self.bot.wait(seconds)

    @rule()
    def start(self) -> None:
        self.bot.start()

    @rule()
    def close(self) -> None:
        began = self.bot.loop.time()
        self.bot.close()
        assert self.bot.loop.time() - began <= 5.01

    @invariant()
    def every_row_is_in_one_place(self) -> None:
        bot, sink = self.bot, self.bot.sink
        written, lost = bot.count("written_total"), bot.count("lost_total")
        assert bot.count("queued_total") == self.next == written + lost + bot.queue.rows
        assert bot.count("queue_rows") == bot.queue.rows <= SMALL.rows
        assert 0 <= bot.count("queue_bytes") <= SMALL.bytes
        assert (bot.queue.bytes == 0) == (bot.queue.rows == 0)
        stored = Counter(sink.stored())
        assert max(stored.values(), default=1) == 1
        assert not sink.refused & stored.keys()
        assert written <= len(stored) <= written + bot.lost("closing") + bot.queue.rows
        assert bot.lost("refused") <= len(sink.refused)

    def teardown(self) -> None:
        bot, sink = self.bot, self.bot.sink
        sink.mode = "well"
        bot.start()
        bot.wait(500)
        assert bot.queue.rows == 0
        self.every_row_is_in_one_place()
        for table in ("commands", "messages", "users"):
            assert sink.stored(table) == sorted(sink.stored(table))
        bot.close()
        assert not asyncio.all_tasks(bot.loop)
        self.context.__exit__(None, None, None)


def test_every_row_is_in_exactly_one_place() -> None:
    run_state_machine_as_test(Sums, settings=settings(deadline=None, max_examples=60, stateful_step_count=40))
