"""What the demo makes of a page, and how it looks."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Iterable

import pytest
from rich.console import Console

from argus_exporter.catalogue import SHARD_STATUSES
from examples.demo import incidents, words
from examples.demo.incidents import Planned
from examples.demo.page import LAG, Page, increase, quantile_edge
from examples.demo.plain import Plain
from examples.demo.screen import render
from examples.demo.summary import History, Shard, Summary
from examples.demo.view import View


def a_page(at: float, scale: float, status: int = 3) -> Page:
    """A page on which every counter stands at `scale` times its step."""
    lines = [
        *(f'discord_shard_status{{shard="{n}"}} {status if n == 10 else 3}' for n in (10, 0, 2)),
        'discord_shard_latency_seconds{shard="0"} 0.25',
        *(f'discord_shard_dispatches_total{{shard="{n}"}} {(n + 1) * scale}' for n in (10, 0, 2)),
        'discord_shard_guilds{shard="0",bot="x"} 7',
        'discord_shard_guilds_unavailable{shard="2"} 3',
        'discord_shard_outages_total{shard="10"} 2',
        f'discord_gateway_events_total{{event="READY"}} {0}',
        f'discord_gateway_events_total{{event="MESSAGE_CREATE"}} {10 * scale}',
        f'discord_gateway_events_total{{event="TYPING_START"}} {30 * scale}',
        f'{LAG}{{le="0.001"}} {98 * scale}',
        f'{LAG}{{le="0.1"}} {99 * scale}',
        f'{LAG}{{le="2.5"}} {100 * scale}',
        f'{LAG}{{le="+Inf"}} {100 * scale}',
        f"process_cpu_seconds_total {0.5 * scale}",
        "process_resident_memory_bytes 61200000",
        "argus_exporter_series 192",
    ]
    return Page.read("\n".join(lines) + "\n", at, 0.012)


def a_summary(status: int = 3) -> Summary:
    history = History()
    history.add(a_page(100.0, 1))
    return history.add(a_page(102.0, 3, status))


def test_rates_are_what_came_between_two_pages_by_the_time_between_them() -> None:
    summary = a_summary()
    assert summary.events == (("TYPING_START", 30.0), ("MESSAGE_CREATE", 10.0))
    assert summary.rate == 40.0
    assert summary.cpu == 0.5
    assert [shard.rate for shard in summary.shards] == [1.0, 3.0, 11.0]


def test_shards_are_in_the_order_of_their_numbers_with_what_is_known_of_each() -> None:
    assert a_summary(2).shards == (
        Shard(0, 3, 0.25, 1.0, 7.0, 0.0, 0.0),
        Shard(2, 3, None, 3.0, None, 3.0, 0.0),
        Shard(10, 2, None, 11.0, None, 0.0, 2.0),
    )
    assert a_summary(2).online == 2
    assert a_summary(2).latency == 0.25


def test_lags_are_the_edges_of_buckets() -> None:
    summary = a_summary()
    assert (summary.lag_p99, summary.lag_worst) == (0.1, 2.5)
    before, after = Page.read(f'{LAG}{{le="1.0"}} 1\n{LAG}{{le="+Inf"}} 1\n'), a_page(1, 0)
    assert quantile_edge(before, after, LAG, 0.99) is None
    late = Page.read(f'{LAG}{{le="1.0"}} 1\n{LAG}{{le="+Inf"}} 2\n')
    assert quantile_edge(before, late, LAG, 0.99) == float("inf")


def test_rates_look_back_five_seconds_and_lags_a_minute() -> None:
    history = History()
    for second in range(70):
        summary = history.add(a_page(second, 1 if second < 65 else second - 63))
        if second == 9:
            assert summary.lag_p99 is None
    assert summary.rate == 40.0
    assert len(history._pages) == 61


def test_a_counter_that_was_reset_counts_from_nothing() -> None:
    assert increase(10.0, 3.0) == 3.0
    assert increase(3.0, 10.0) == 7.0
    assert increase(None, 3.0) == 3.0
    assert increase(3.0, None) is None


def test_the_first_page_has_no_rates() -> None:
    summary = History().add(a_page(5.0, 1))
    assert (summary.events, summary.cpu, summary.shards[0].rate) == ((), None, None)


def test_a_page_that_says_nothing_is_shown_as_unknown() -> None:
    nothing = History().add(Page.read("", 1.0, 0.1))
    assert words.status_line(nothing) == (
        "shards 0/0 online | 0.0 events/s | latency - | loop lag p99 - | memory - | cpu - | - series | scrape 100 ms"
    )
    assert "metrics" in shown(View(url="http://x/metrics", summary=nothing))[0]


def test_the_plain_line_has_what_matters() -> None:
    assert words.status_line(a_summary(6)) == (
        "shards 2/3 online, 1 resuming | 40.0 events/s | latency 250 ms | loop lag p99 <= 100 ms | memory 61 MB"
        " | cpu 50.0 % | 192 series | scrape 12 ms"
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (words.seconds(0.00042), "0.4 ms"),
        (words.seconds(0.012), "12 ms"),
        (words.seconds(1.5), "1.50 s"),
        (words.edge(2.5), "<= 2.5 s"),
        (words.edge(0.0025), "<= 2.5 ms"),
        (words.edge(float("inf")), "> 10 s"),
        (words.edge(None), "-"),
        (words.size(45_171), "45 kB"),
        (words.count(1234.0), "1,234"),
        (words.clock(67.9), "1:07"),
        (words.clock(7205), "2:00:05"),
        (words.clock(None), "-"),
        (words.rate(None), "-"),
    ],
)
def test_numbers_are_as_people_read_them(said: str, wanted: str) -> None:
    assert said == wanted


# ------------------------------------------------------------------------------------------- the screen


def shown(view: View, width: int = 80, height: int = 24, *, colour: bool = False) -> list[str]:
    """The lines on a terminal of that size."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, height=height, force_terminal=colour, color_system="standard" if colour else None
    )
    console.print(render(view, width, height))
    return file.getvalue().splitlines()


def many(words: Iterable[str]) -> tuple[Shard, ...]:
    return tuple(Shard(n, SHARD_STATUSES.index(word), 0.04, 50.0, 10, 0, 0) for n, word in enumerate(words))


def full(shards: tuple[Shard, ...], **fields: object) -> View:
    """Everything there is, at its longest."""
    events = tuple((f"THREAD_MEMBERS_UPDATE_{n}", 1e4 - n) for n in range(12))
    summary = dataclasses.replace(a_summary(), shards=shards, events=events, lag_worst=float("inf"), blocked=12.0)
    view = View("http://127.0.0.1:65535/metrics", 4, 40, 200.0, "http://127.0.0.1:65535/graph?g0=x", summary)
    view.incidents = ["zombie_no_ack shard=3", "gateway_refuses status=503", "traffic_surge rate=200.0"]
    for name, value in fields.items():
        setattr(view, name, value)
    for n in range(30):
        view.note(f"note {n} " + "long " * 40)
    return view


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("trouble", ["", "no page: no answer in time"])
@pytest.mark.parametrize("count", [1, 4, 5, 16, 64])
def test_it_fits_whatever_the_terminal(width: int, height: int, trouble: str, count: int) -> None:
    lines = shown(full(many(["online"] * count), trouble=trouble), width, height)
    assert len(lines) <= height
    assert max(len(line.rstrip()) for line in lines) <= width
    assert lines[0].split() == ["metrics", "http://127.0.0.1:65535/metrics"]
    assert lines[-1].split() == ["Ctrl-C", "stops", "it"]
    assert sum("note 29" in line for line in lines) == 1
    assert sum("online" in line for line in lines) >= 1
    assert sum("THREAD_MEMBERS" in line for line in lines) == 8
    assert any("trouble     no page" in line for line in lines) == bool(trouble)


def test_at_eighty_columns_nothing_that_matters_is_cut() -> None:
    lines = shown(View("http://127.0.0.1:9191/metrics", 3, 40, 200.0, summary=a_summary(2)))
    text = "\n".join(line.rstrip() for line in lines)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "3 shards, 40 guilds, 200 events/s asked for; up -" in text
    rows = [line.split() for line in lines]
    assert ["0", "online", "250", "ms", "1.0", "7", "0", "0"] in rows
    assert ["2", "online", "-", "3.0", "-", "3", "0"] in rows
    assert ["10", "offline", "-", "11.0", "-", "0", "2"] in rows
    for part in ("MESSAGE_CREATE", "<= 2.5 s", "<= 100 ms", "61 MB", "50.0 %", "192, 1 kB", "12 ms, -"):
        assert part in text


def test_where_there_is_no_room_for_notes_there_are_none() -> None:
    assert not [line for line in shown(full(many(["online"])), 80, 19) if "note" in line]
    assert len([line for line in shown(full(many(["online"])), 80, 20) if "note" in line]) == 1


def test_nothing_moves_when_an_event_is_seen_for_the_first_time() -> None:
    view = full(many(["online"]))
    before = shown(view)
    assert view.summary is not None
    view.summary = dataclasses.replace(view.summary, events=())
    assert len(shown(view)) == len(before)
    view.summary = dataclasses.replace(view.summary, events=tuple((f"EVENT_{n}", 1.0) for n in range(8)))
    assert len(shown(view)) == len(before)


def test_of_too_many_shards_those_in_trouble_are_shown() -> None:
    states = ["online"] * 40
    states[17], states[33] = "offline", "unhealthy"
    lines = [line.split() for line in shown(full(many(states)))]
    named = [line[:2] for line in lines if len(line) > 2 and line[1] in SHARD_STATUSES]
    assert named == [["0", "online"], ["17", "offline"], ["33", "unhealthy"]]
    assert ["...", "37", "online"] in lines


@pytest.mark.parametrize(
    ("word", "colour"),
    [("online", "32"), ("resuming", "33"), ("offline", "1;31"), ("unhealthy", "1;31")],
)
def test_a_status_has_the_colour_of_a_traffic_light(word: str, colour: str) -> None:
    text = "\n".join(shown(full(many([word])), colour=True))
    assert f"\x1b[{colour}m{word}" in text


def test_before_the_first_page_it_says_what_it_waits_for() -> None:
    view = View("http://127.0.0.1:9191/metrics", 4, 40, 200.0)
    assert "waiting for the first page" in shown(view)[-1]
    view.trouble = "no page: refused"
    assert shown(view)[-1].strip() == "no page: refused"


# ------------------------------------------------------------------------------------------- notes and lines


def test_a_line_that_comes_again_and_again_is_kept_once() -> None:
    view = View()
    for text in ("a", "b", "b", "b", "a"):
        view.note(text)
    assert [note.partition(" ")[2] for note in view.notes] == ["a", "b (3 times)", "a"]
    view.notes.clear()  # they were written
    view.note("a")
    assert [note.partition(" ")[2] for note in view.notes] == ["a"]


def test_what_goes_wrong_next_is_said_unless_something_does_now() -> None:
    assert View().happening == "none"
    assert View(coming="in 3 s: close shard=1").happening == "none; in 3 s: close shard=1"
    assert View(incidents=["a", "b"], coming="in 3 s: c").happening == "a, b"


def test_plain_lines_tell_each_note_once_and_the_status_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    plain, view = Plain(), View(summary=a_summary())
    view.note("something")
    plain.show(view)
    plain.show(view)
    view.note("else")
    view.trouble = "no page"
    plain.show(view)
    lines = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["something", words.status_line(a_summary()), "else"]
    plain._due = 0.0
    plain.show(view)
    assert capsys.readouterr().out.endswith(" no page\n")


# ------------------------------------------------------------------------------------------- incidents


def test_an_incident_is_read_with_its_parameters_and_its_time() -> None:
    read = incidents.parse("zombie_no_ack:shard=3,seconds=60@2.5")
    assert read == Planned("zombie_no_ack", 2.5, {"shard": 3, "seconds": 60.0})
    assert str(read) == "zombie_no_ack shard=3 seconds=60"
    assert incidents.parse("silence") == Planned("silence", 0.0, {})


def test_what_is_wanted_happens_in_its_order_and_once() -> None:
    late, early = Planned("silence", 9), Planned("close", 1)
    assert list(incidents.schedule([late, early], 4)) == [early, late]


def test_the_tour_goes_round_on_the_shards_that_there_are() -> None:
    length = len(incidents.TOUR)
    rounds = list(itertools.islice(incidents.schedule([], 2), 2 * length))
    assert [one.at for one in rounds] == sorted(one.at for one in rounds)
    assert rounds[length].at == incidents.TOUR[0].at + incidents.TOUR_SECONDS
    assert {one.parameters["shard"] for one in rounds if "shard" in one.parameters} == {0, 1}
    assert incidents.TOUR[-1].at + incidents.TOUR[-1].parameters["seconds"] <= incidents.TOUR_SECONDS


@pytest.mark.parametrize("one", incidents.TOUR, ids=str)
def test_every_stop_of_the_tour_is_known_to_the_simulator(one: Planned) -> None:
    given = ",".join(f"{name}={value}" for name, value in one.parameters.items())
    assert incidents.parse(f"{one.name}:{given}@{one.at}") == one
