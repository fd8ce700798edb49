"""The schema of ClickHouse, as text."""

from __future__ import annotations

import zlib

from argus_exporter.analytics import clickhouse_schema as schema
from argus_exporter.analytics.events import TABLES

SCHEMA = (3, 862332125)
"""Versions, and the checksum of what is declared."""


def test_what_is_declared_is_what_the_migrations_make() -> None:
    """If this fails, a table or a roll-up has changed: add a migration, and only then write here what there is."""
    declared = [(each.name, each.sql) for migration in schema.MIGRATIONS for each in migration]
    assert (len(schema.MIGRATIONS), zlib.crc32(repr(declared).encode())) == SCHEMA


def test_the_script_has_a_statement_a_line() -> None:
    lines = schema.script(30).splitlines()
    assert all(line.endswith(";") and line.count(";") == 1 for line in lines)
    assert sum("toIntervalDay(30)" in line for line in lines) == len(schema.AGING)
    assert not any("TTL" in line for line in schema.script(None).splitlines())


def test_only_what_grows_old_is_removed() -> None:
    dated = {table.name for table in TABLES if table.dated}
    assert dated < schema.AGING.keys()
    assert {rollup.source for rollup in schema.ROLLUPS} <= dated
