"""What passes the hot path, and when the dispatch may be skipped. The rest is proved in test_gateway.py."""

from __future__ import annotations

import types
from typing import Any

import discord
import pytest
from discord.ext import commands

from argus_exporter.discordpy import dispatch
from argus_exporter.discordpy.dispatch import counting, is_known_version, may_skip, skipping
from argus_exporter.instruments import CounterCell
from tests.clients import KINDS, PlainBot

Calls = list[tuple[Any, ...]]


def hook(make: Any, calls: Calls, rare: list[object]) -> tuple[Any, CounterCell, CounterCell]:
    event, shard = CounterCell(), CounterCell()
    return make(lambda *call: calls.append(call), {"KNOWN": event}, shard, rare.append), event, shard


def test_a_known_name_is_counted_twice_and_called_through() -> None:
    calls, rare = Calls(), list[object]()
    called, event, shard = hook(counting, calls, rare)
    called("socket_event_type", "KNOWN")
    assert (event.value, shard.value, calls, rare) == (1, 1, [("socket_event_type", "KNOWN")], [])


@pytest.mark.parametrize("name", ["UNKNOWN", ["KNOWN"], None])
def test_another_name_is_rare_and_counted_for_the_shard(name: object) -> None:
    calls, rare = Calls(), list[object]()
    called, event, shard = hook(counting, calls, rare)
    called("socket_event_type", name)
    assert (event.value, shard.value, calls, rare) == (0, 1, [("socket_event_type", name)], [name])


@pytest.mark.parametrize("make", [counting, lambda *rest: skipping(PlainBot(), *rest)], ids=["counting", "skipping"])
def test_raw_frames_pass_untouched(make: Any) -> None:
    calls, rare = Calls(), list[object]()
    called, event, shard = hook(make, calls, rare)
    called("socket_raw_receive", "KNOWN", "more")
    assert (event.value, shard.value, calls, rare) == (0, 0, [("socket_raw_receive", "KNOWN", "more")], [])


@pytest.mark.parametrize("name", ["KNOWN", "UNKNOWN"])
def test_skipping_counts_the_same_and_calls_nobody(name: str) -> None:
    calls, rare = Calls(), list[object]()
    called, event, shard = hook(lambda *rest: skipping(PlainBot(), *rest), calls, rare)
    called("socket_event_type", name)
    assert (event.value, shard.value, calls) == (int(name == "KNOWN"), 1, [])
    assert rare == [name] * (name == "UNKNOWN")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_discord_py_s_own_dispatch_may_be_skipped(kind: Any) -> None:
    client = kind.make()
    assert may_skip(client, client.dispatch)


def test_an_unknown_version_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    client = PlainBot()
    monkeypatch.setattr(dispatch, "KNOWN_VERSIONS", ((2, 3), (2, 99)))
    assert not is_known_version()
    assert not may_skip(client, client.dispatch)


def test_the_installed_version_is_known() -> None:
    assert is_known_version()


def test_another_client_s_dispatch_is_called() -> None:
    assert not may_skip(PlainBot(), PlainBot().dispatch)
    assert not may_skip(PlainBot(), print)


def test_a_class_that_changes_how_attributes_are_found_is_called() -> None:
    class Changing(PlainBot):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__(name)

    client = Changing()
    assert not may_skip(client, client.dispatch)


def test_dispatch_of_a_mixin_is_called() -> None:
    class Mixin:
        def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None: ...

    class Mixed(Mixin, PlainBot): ...  # type: ignore[misc]

    client = Mixed()
    assert not may_skip(client, client.dispatch)


@pytest.mark.parametrize("base", [discord.Client, commands.bot.BotBase])
def test_a_patched_discord_py_is_called(base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def patched(self: Any, event: str, /, *args: Any, **kwargs: Any) -> None: ...

    client = PlainBot()
    for dispatch_ in (patched, print):
        monkeypatch.setattr(base, "dispatch", dispatch_)
        call = types.MethodType(base.dispatch, client)
        assert not may_skip(client, call)


def test_a_client_without_waiters_is_called() -> None:
    client = PlainBot()
    del client._listeners
    assert not may_skip(client, client.dispatch)
