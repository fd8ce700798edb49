"""Who listens to a part, and what they do not notice of one another."""

from __future__ import annotations

import typing
from typing import Any

from argus_exporter.discordpy.parts import Audience, Part


class Listener:
    def heard(self, what: str) -> None: ...

    def ended(self) -> None: ...


class Ear(Listener):
    def __init__(self) -> None:
        self.all: list[str] = []

    def heard(self, what: str) -> None:
        self.all.append(what)


class Breaking(Listener):
    def heard(self, what: str) -> None:
        raise LookupError(what)


class Noting:
    """What a part needs of a view."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, BaseException]] = []

    def note_error(self, noun: str, error: BaseException) -> None:
        self.errors.append((noun, error))


class Subject(Part[Listener]):
    noun = "shards"


def subject(*listeners: Listener) -> tuple[Subject, Noting]:
    view = Noting()
    made = Subject(typing.cast("Any", view))
    for listener in listeners:
        made.listeners.append(listener)
    return made, view


def test_everybody_hears_and_nobody_notices_what_another_raises() -> None:
    first, last = Ear(), Ear()
    part, view = subject(first, Breaking(), last)
    part.tell(Listener.heard, "something")
    assert (first.all, last.all) == (["something"], ["something"])
    assert [(noun, str(error)) for noun, error in view.errors] == [("shards", "something")]


def test_whoever_leaves_a_method_as_it_is_is_not_called() -> None:
    part, _ = subject(Ear(), Listener())
    assert len(part.listeners.ears[Listener.heard]) == 1
    assert part.listeners.ears[Listener.ended] == []


def test_who_comes_hears_and_who_goes_does_not() -> None:
    early, late, other = Ear(), Ear(), Ear()
    part, _ = subject(early)
    part.tell(Listener.heard, "one")
    part.listeners.append(late)
    part.tell(Listener.heard, "two")
    part.listeners.remove(early)
    part.tell(Listener.heard, "three")
    part.listeners[:] = [other]
    part.tell(Listener.heard, "four")
    assert (early.all, late.all, other.all) == (["one", "two"], ["two", "three"], ["four"])


def test_what_is_to_be_called_stays_the_same_list_whoever_comes_and_goes() -> None:
    audience: Audience[Listener] = Audience()
    kept, (first, last) = audience.ears[Listener.heard], (Ear(), Ear())
    audience.append(first)
    assert kept == [first.heard]
    audience[:] = [first, last]
    assert kept == [first.heard, last.heard]
    audience.remove(first)
    assert kept == [last.heard]
    assert audience.ears[Listener.heard] is kept


def test_a_part_that_nobody_listens_to_is_not_wanted() -> None:
    assert not subject()[0].wanted
    assert subject(Ear())[0].wanted
