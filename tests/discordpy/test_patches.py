"""Replaced attributes come back, and what somebody else wrapped is theirs."""

from __future__ import annotations

from argus_exporter.discordpy import Patches


class Thing:
    def method(self) -> str:
        return "class"


def test_a_method_of_the_class_is_there_again() -> None:
    thing, patches = Thing(), Patches()
    patches.set(thing, "method", lambda: "ours")
    assert thing.method() == "ours"
    patches.close()
    assert thing.method() == "class"
    assert vars(thing) == {}


def test_an_attribute_of_the_instance_is_there_again() -> None:
    thing, patches = Thing(), Patches()
    before = lambda: "instance"  # noqa: E731
    thing.method = before  # type: ignore[method-assign]
    patches.set(thing, "method", lambda: "ours")
    patches.close()
    assert vars(thing) == {"method": before}


def test_what_somebody_wrapped_after_us_is_left_to_them() -> None:
    thing, patches = Thing(), Patches()
    patches.set(thing, "method", lambda: "ours")
    theirs = lambda: "theirs"  # noqa: E731
    thing.method = theirs  # type: ignore[method-assign]
    patches.close()
    assert vars(thing) == {"method": theirs}


def test_an_object_that_minds_being_set_is_not_asked() -> None:
    class Minding(Thing):
        def __setattr__(self, name: str, value: object) -> None:
            raise DeprecationWarning(name)

        __delattr__ = __setattr__  # type: ignore[assignment]

    thing, patches = Minding(), Patches()
    patches.set(thing, "method", lambda: "ours")
    assert thing.method() == "ours"
    patches.close()
    assert vars(thing) == {}


def test_patches_are_taken_back_in_reverse_and_once() -> None:
    thing, patches = Thing(), Patches()
    patches.set(thing, "method", lambda: "first")
    patches.set(thing, "method", lambda: "second")
    patches.close()
    assert thing.method() == "class"
    thing.method = lambda: "later"  # type: ignore[method-assign]
    patches.close()
    assert thing.method() == "later"
