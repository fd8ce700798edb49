"""Log records are counted as they are made, and logging does what it did."""

from __future__ import annotations

import io
import logging
import logging.handlers
import pickle
import subprocess
import sys
import threading
import typing

import pytest

from argus_exporter.exporter import Exporter
from tests.clients import counter_total, value, values

if typing.TYPE_CHECKING:
    from collections.abc import AsyncIterator

RECORDS = "discord_log_records_total"


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    async with Exporter(port="off", state_dir="off") as running:
        yield running


async def test_records_from_warning_on_count_by_the_first_word_of_their_logger_and_by_level(exporter: Exporter) -> None:
    for name in ("shop", "shop.cart", "shop.cart.tax"):
        logger = logging.getLogger(name)
        for level in (logging.DEBUG, logging.INFO, 29):
            logger.log(level, "not counted")
        logger.warning("counted")
    logging.getLogger("shop").log(39, "between")
    logging.getLogger("shop").error("error")
    logging.getLogger("shop").critical("critical")
    logging.getLogger("shop").log(99, "above all")
    logging.getLogger("argus_exporter.test").warning("our own count too")
    logging.warning("by the root")  # noqa: LOG015
    assert values(exporter.instruments, RECORDS) == {
        ("shop", "WARNING"): 4,
        ("shop", "ERROR"): 1,
        ("shop", "CRITICAL"): 2,
        ("argus_exporter", "WARNING"): 1,
        ("root", "WARNING"): 1,
    }


async def test_loggers_that_do_not_propagate_are_seen_and_those_that_are_off_are_not(exporter: Exporter) -> None:
    alone, quiet = logging.getLogger("alone"), logging.getLogger("quiet")
    alone.propagate, quiet.level = False, logging.CRITICAL
    alone.addHandler(logging.NullHandler())
    alone.error("seen")
    quiet.error("never made")
    assert values(exporter.instruments, RECORDS) == {("alone", "ERROR"): 1}


async def test_a_logger_that_is_named_after_an_id_is_other(exporter: Exporter) -> None:
    logging.getLogger("guild-123456789012345678").error("oops")
    logging.getLogger("worker-1234").error("oops")
    assert values(exporter.instruments, RECORDS) == {("other", "ERROR"): 1, ("worker-1234", "ERROR"): 1}


async def test_threads_lose_no_record(exporter: Exporter) -> None:
    threads = [
        threading.Thread(target=lambda: [logging.getLogger("many").error("x") for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for _ in range(500):
        logging.getLogger("many").error("x")
    for thread in threads:
        thread.join()
    exporter.sample()
    assert value(exporter.instruments, RECORDS, "many", "ERROR") == 2500


async def test_a_record_that_is_copied_or_sent_counts_once(exporter: Exporter) -> None:
    record = logging.getLogger("sent").makeRecord("sent", logging.ERROR, "", 0, "x", (), None)
    logging.handlers.QueueHandler(typing.cast("typing.Any", _Queue())).handle(record)
    logging.makeLogRecord(pickle.loads(pickle.dumps(record.__dict__)))  # noqa: S301
    assert values(exporter.instruments, RECORDS) == {("sent", "ERROR"): 1}
    assert counter_total(exporter.instruments, "argus_exporter_collector_errors_total") == 0


class _Queue:
    def put_nowait(self, item: object) -> None: ...


class _OwnRecord(logging.LogRecord):
    """A factory of the user's own."""


async def test_a_factory_that_was_there_is_used_and_given_back() -> None:
    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(_OwnRecord)
    try:
        async with Exporter(port="off", state_dir="off") as exporter:
            record = logging.getLogger("own").makeRecord("own", logging.ERROR, "f", 1, "x %s", (1,), None, "g")
            assert isinstance(record, _OwnRecord)
            assert (record.getMessage(), record.funcName, record.lineno) == ("x 1", "g", 1)
            assert values(exporter.instruments, RECORDS) == {("own", "ERROR"): 1}
        assert logging.getLogRecordFactory() is _OwnRecord
    finally:
        logging.setLogRecordFactory(before)


@pytest.mark.parametrize("chains", [True, False], ids=["around ours", "instead of ours"])
async def test_a_factory_that_the_user_sets_later_stays_and_every_record_counts_once(
    exporter: Exporter, chains: bool
) -> None:
    before = logging.getLogRecordFactory()

    def tagging(*arguments: typing.Any, **named: typing.Any) -> logging.LogRecord:
        record = (before if chains else logging.LogRecord)(*arguments, **named)
        record.tag = "mine"
        return record

    logging.setLogRecordFactory(tagging)
    logging.getLogger("late").error("x")
    exporter.sample()
    record = logging.getLogger("late").makeRecord("late", logging.ERROR, "", 0, "x", (), None)
    assert record.__dict__["tag"] == "mine"
    assert value(exporter.instruments, RECORDS, "late", "ERROR") == 1 + chains
    await exporter.close()
    assert logging.getLogRecordFactory() is tagging
    logging.getLogger("late").error("x")
    assert value(exporter.instruments, RECORDS, "late", "ERROR") == 1 + chains
    logging.setLogRecordFactory(logging.LogRecord)


async def test_a_record_whose_level_is_no_number_is_made_as_ever(exporter: Exporter) -> None:
    level: typing.Any = "WARNING"
    assert logging.getLogger("shop").makeRecord("shop", level, "", 0, "text", (), None).levelno == "WARNING"
    assert values(exporter.instruments, RECORDS) == {}


async def test_what_goes_wrong_in_counting_is_counted_and_the_record_is_made(exporter: Exporter) -> None:
    record = logging.getLogger("odd").makeRecord(typing.cast("str", 5), logging.ERROR, "", 0, "x", (), None)
    assert typing.cast("object", record.name) == 5
    assert value(exporter.instruments, "argus_exporter_collector_errors_total", "logs") == 1


LAST_RESORT = """
import asyncio, logging, sys
from argus_exporter import Exporter
async def main():
    async with Exporter(port="off", state_dir="off"):
        logging.getLogger("mybot").error("nobody has set up logging")
        logging.basicConfig(format="SET UP %(message)s", stream=sys.stderr)
        logging.getLogger("mybot").error("now somebody has")
asyncio.run(main())
"""


def test_logging_s_last_resort_and_basic_config_work_as_ever() -> None:
    done = subprocess.run([sys.executable, "-c", LAST_RESORT], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["nobody has set up logging", "SET UP now somebody has"]


async def test_handlers_get_what_they_always_got(exporter: Exporter) -> None:
    stream = io.StringIO()
    logger = logging.getLogger("handled")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(funcName)s %(message)s %(extra)s"))
    logger.addHandler(handler)
    logger.error("%s and %s", 1, 2, extra={"extra": "more"})
    logger.removeHandler(handler)
    assert stream.getvalue() == "handled ERROR test_handlers_get_what_they_always_got 1 and 2 more\n"
