"""What a queue and a database tell each other."""

from __future__ import annotations

from argus_exporter.analytics.sink import Batch, Erased, Place


def test_a_batch_is_as_long_as_the_rows_of_all_its_tables() -> None:
    assert len(Batch("token", {})) == 0
    assert len(Batch("token", {"users": [(1,), (2,)], "guilds": [(3,)]})) == 3


def test_a_place_shows_no_secret_and_keeps_rows_for_ninety_days() -> None:
    place = Place("postgresql://me:s3cret@db/bots")
    assert "s3cret" not in repr(place)
    assert (place.bot, place.cluster, place.retention_days, place.async_insert) == ("", "", 90, False)


def test_what_was_erased_is_told_by_table() -> None:
    assert Erased("users", 3) == Erased(table="users", rows=3)
