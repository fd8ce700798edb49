"""A hook that there is one of: ours around whatever stands there, once, and gone without a trace."""

from __future__ import annotations

import gc
import typing
import weakref
from typing import Any

from argus_exporter.hooks import MOST_NESTED, Hook


class Place:
    """Where there is room for one hook."""

    def __init__(self, hook: Any = None) -> None:
        self.hook = hook
        self.calls: list[str] = []

    def get(self) -> Any:
        return self.hook

    def put(self, hook: Any) -> None:
        self.hook = hook

    def call(self, *arguments: Any, **named: Any) -> Any:
        self.calls.clear()
        result = (self.hook or self.default)(*arguments, **named)
        return result, list(self.calls)

    def default(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append("default")
        return arguments, named

    def around(self, through: Any) -> Any:
        def ours(*arguments: Any, **named: Any) -> Any:
            self.calls.append("ours")
            return through(*arguments, **named)

        return ours

    def theirs(self, through: Any = None) -> Any:
        def hook(*arguments: Any, **named: Any) -> Any:
            self.calls.append("theirs")
            return (through or (lambda *_, **__: "theirs"))(*arguments, **named)

        return hook

    def hooked(self) -> Hook:
        hook = Hook(self.get, self.put, self.around, self.default)
        hook.keep()
        return hook


def test_where_nothing_stands_the_default_is_called_and_nothing_is_given_back() -> None:
    place = Place()
    hook = place.hooked()
    assert place.call(1, two=2) == (((1,), {"two": 2}), ["ours", "default"])
    hook.close()
    assert place.hook is None
    hook.close()
    assert place.hook is None


def test_what_stands_there_is_called_through_and_given_back() -> None:
    place = Place()
    place.hook = theirs = place.theirs()
    hook = place.hooked()
    hook.keep()
    assert place.call() == ("theirs", ["ours", "theirs"])
    hook.close()
    assert place.hook is theirs


class Recorder:
    """A hook that compares by value, as a dataclass does."""

    __hash__: Any = None

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __call__(self, *arguments: object) -> None:
        self.calls.append(arguments)


def test_a_hook_of_theirs_that_has_no_hash_is_called_through_and_given_back() -> None:
    recorder = Recorder()
    place = Place(recorder)
    hook = place.hooked()
    assert place.call(1) == (None, ["ours"])
    place.hook = recorder
    hook.keep()
    assert place.call(2) == (None, ["ours"])
    assert recorder.calls == [(1,), (2,)]
    hook.close()
    assert place.hook is recorder


def test_what_comes_later_wins_and_ours_is_put_around_it_once() -> None:
    place = Place()
    hook = place.hooked()
    place.hook = theirs = place.theirs()
    assert place.call() == ("theirs", ["theirs"])
    for _ in range(3):
        hook.keep()
    assert place.call() == ("theirs", ["ours", "theirs"])
    hook.close()
    assert place.hook is theirs


def test_however_they_are_nested_ours_acts_once_and_after_the_close_never() -> None:
    place = Place()
    hook = place.hooked()
    for _ in range(3):
        place.hook = outermost = place.theirs(place.hook)
        hook.keep()
    assert place.call()[1] == ["ours", "theirs", "theirs", "theirs", "default"]
    place.hook = last = place.theirs(place.hook)
    hook.close()
    assert place.hook is last
    assert place.call()[1] == ["theirs", "theirs", "theirs", "theirs", "default"]
    assert outermost is not last


def test_who_replaces_it_for_a_while_and_gives_ours_back_has_ours_back() -> None:
    place = Place()
    hook = place.hooked()
    for _ in range(3):
        found, place.hook = place.hook, place.theirs()
        hook.keep()
        place.hook = found
        hook.keep()
        assert place.hook is found
        assert place.call()[1] == ["ours", "default"]
    hook.close()
    assert place.hook is None


def test_it_can_be_kept_again_after_a_close() -> None:
    place = Place()
    hook = place.hooked()
    place.hook = place.theirs(place.hook)
    hook.close()
    hook.keep()
    assert place.call()[1] == ["ours", "theirs", "default"]


def test_two_exporters_each_act_once_and_may_leave_in_any_order() -> None:
    place = Place()
    first, second = place.hooked(), place.hooked()
    assert place.call()[1] == ["ours", "ours", "default"]
    for _ in range(3):
        first.keep()
        second.keep()
    assert place.call()[1] == ["ours", "ours", "default"]
    first.close()
    assert place.call()[1] == ["ours", "default"]
    second.close()
    assert place.call()[1] == ["default"]


def test_one_who_goes_on_wrapping_ours_is_not_followed_for_ever() -> None:
    place = Place()
    hook = place.hooked()
    for _ in range(100):
        place.hook = place.theirs(place.hook)
        hook.keep()
    calls = place.call()[1]
    assert calls.count("theirs") == 100
    assert calls.count("ours") == 1
    assert len(hook._found) == MOST_NESTED


def test_one_who_wraps_in_a_circle_does_not_hold_us_up() -> None:
    place = Place()
    place.hook = place.theirs()
    place.hook.__wrapped__ = place.hook
    place.hooked()
    assert place.call() == ("theirs", ["ours", "theirs"])


def test_what_it_has_replaced_is_not_kept_alive() -> None:
    place = Place()
    hook = place.hooked()
    place.hook = place.theirs()
    hook.keep()
    gone = weakref.ref(typing.cast("Any", place.hook))
    place.hook = place.theirs()
    hook.keep()
    gc.collect()
    assert gone() is None
