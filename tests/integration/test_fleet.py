"""Fleets under a real Prometheus that finds them by the files which they write, with the rules of the project."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from argus_exporter import ArgusExporter, Exporter
from examples.discord_simulator import Simulator
from tests.clients import PlainBot, ShardedBot, logged_in, until, value
from tests.integration.programs import Prometheus, configured_prometheus, free_port
from tests.prometheus.rules import FOLDER, ROOT
from tests.rehearsal import scaled
from tests.rehearsal.scene import DISTANCE

FACTOR = 60.0
"""How much faster time runs in the rules: five minutes are five seconds."""
PROCESSES, SHARDS = 4, 16
WRONG = "DiscordShard(Missing|Duplicated|CountMismatch)"
FIRING = f'ALERTS{{alertname=~"{WRONG}", alertstate="firing"}}'


class Fleet:
    """Processes of a bot, in one folder of targets."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.targets, self._folder, self._sim = folder / "targets", folder, sim
        self.targets.mkdir()
        first = free_port()
        self._ports = f"{first}-{first + 99}"
        self._children: list[asyncio.subprocess.Process] = []

    async def start(self, cluster: int, *, count: int = PROCESSES * SHARDS) -> None:
        """Start a process with the shards of a cluster."""
        first, state = cluster * SHARDS, self._folder / f"state-{len(self._children)}"
        settings = {"PORT": self._ports, "BOT": "fleet", "CLUSTER": str(cluster), "STATE_DIR": str(state)}
        settings |= {"FILE_SD_DIR": str(self.targets), "SESSION_LIMIT_INTERVAL": "off"}
        arguments = (self._sim.url, self._sim.token, str(first), str(first + SHARDS - 1), str(count))
        self._children.append(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.integration.fleet_bot", *arguments),
                cwd=ROOT,
                env={**os.environ, **{f"ARGUS_{name}": text for name, text in settings.items()}},
            )
        )

    async def kill(self, number: int) -> None:
        """End a process at once."""
        child = self._children[number]
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*map(self.kill, range(len(self._children))))


@contextlib.asynccontextmanager
async def watched(folder: Path, targets: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that finds its targets by files, with the rules for shards in a hurry."""
    document = yaml.safe_load((FOLDER / "rules" / "shards.yml").read_text("utf-8"))
    rules = folder / "rules.yml"
    rules.write_text(yaml.safe_dump(scaled.rules(document, FACTOR)), "utf-8")
    job = {"job_name": "discord", "honor_labels": True}
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            job | {"file_sd_configs": [{"files": [f"{targets}/*.json"], "refresh_interval": "1s"}]},
        ],
    }
    async with configured_prometheus(folder, config, *scaled.options(FACTOR)) as prometheus:
        yield prometheus


async def alerts(prometheus: Prometheus) -> set[tuple[str, str]]:
    """What fires: each alert with its bot."""
    return {(dict(labels)["alertname"], dict(labels)["bot"]) for labels in await prometheus.query(FIRING)}


async def fires(prometheus: Prometheus, *names: str) -> None:
    """Wait until these alerts fire, and no others of them."""
    wanted = {(name, "fleet") for name in names}
    async with asyncio.timeout(90):
        while await alerts(prometheus) != wanted:
            await asyncio.sleep(0.2)


@pytest.mark.integration
@pytest.mark.timeout(400)
async def test_a_fleet_of_four_processes_is_well_until_one_is_killed_doubled_or_miscounts(tmp_path: Path) -> None:
    async with Simulator(guilds=64, members=1, channels=1, shards=PROCESSES * SHARDS) as sim:
        sim.gateway.ack_delay = DISTANCE
        fleet = Fleet(tmp_path, sim)
        try:
            await asyncio.gather(*map(fleet.start, range(PROCESSES)))
            await until(lambda: len(files(fleet.targets)) == PROCESSES, 60)
            async with watched(tmp_path, fleet.targets) as prometheus:
                await all_is_well(prometheus)
                await a_killed_process_is_seen_and_its_successor_heals_it(fleet, prometheus)
                await a_doubled_process_is_seen(fleet, prometheus)
                await a_wrong_count_is_seen(fleet, prometheus)
        finally:
            await fleet.close()


async def all_is_well(prometheus: Prometheus) -> None:
    await prometheus.until('count(discord_shard_status{bot="fleet"} == 3)', PROCESSES * SHARDS)
    await prometheus.until('count(count by (shard) (discord_shard_status{bot="fleet"}))', PROCESSES * SHARDS)
    await prometheus.until('max(discord_shards{bot="fleet"})', PROCESSES * SHARDS)
    clusters = {dict(labels)["cluster"] for labels in await prometheus.query('up{bot="fleet"} == 1')}
    assert clusters == {str(number) for number in range(PROCESSES)}
    # longer than any of the alerts waits before it fires
    enough = f"clamp_max(count_over_time(job_bot:discord_shards:max[{scaled.duration('20m', FACTOR)}]), 50)"
    await prometheus.until(enough, 50)
    assert await prometheus.query(f"count_over_time({FIRING}[10m])") == {}


async def a_killed_process_is_seen_and_its_successor_heals_it(fleet: Fleet, prometheus: Prometheus) -> None:
    await fleet.kill(PROCESSES - 1)
    await fires(prometheus, "DiscordShardMissing")
    missing = "job_bot:discord_shards:max - count by (job, bot) (job_bot_shard:discord_shard_status:count)"
    await prometheus.until(missing, SHARDS)
    assert await prometheus.value('count(up{bot="fleet", cluster="3"} == 0)') == 1
    await fleet.start(PROCESSES - 1)
    await fires(prometheus)
    await prometheus.until('count(up{bot="fleet"})', PROCESSES)


async def a_doubled_process_is_seen(fleet: Fleet, prometheus: Prometheus) -> None:
    await fleet.start(0)
    await fires(prometheus, "DiscordShardDuplicated")
    twice = 'ALERTS{alertname="DiscordShardDuplicated", alertstate="firing"}'
    assert len(await prometheus.query(twice)) == SHARDS
    await fleet.kill(PROCESSES + 1)
    await fires(prometheus)


async def a_wrong_count_is_seen(fleet: Fleet, prometheus: Prometheus) -> None:
    await fleet.kill(1)
    await fleet.start(1, count=PROCESSES * SHARDS - 1)
    await fires(prometheus, "DiscordShardCountMismatch")


@pytest.mark.integration
async def test_prometheus_asks_where_the_file_says_and_forgets_a_process_that_has_left(tmp_path: Path) -> None:
    targets = tmp_path / "targets"
    targets.mkdir()
    (targets / "argus_exporter-elsewhere-a-1.json.tmp").write_text('[{"targets": ["elsewhere:1"]', "utf-8")
    async with watched(tmp_path, targets) as prometheus:
        async with Exporter(port=0, bot="b", cluster="7", metrics_path="/own", file_sd_dir=targets):
            await prometheus.until("up", 1)
            (target,) = (await prometheus.get("targets"))["activeTargets"]
            assert target["scrapeUrl"].endswith("/own")
            assert target["labels"].keys() == {"job", "instance", "bot", "cluster"}
            assert target["discoveredLabels"]["__meta_argus_exporter_pid"] == str(os.getpid())
        async with asyncio.timeout(30):
            while (await prometheus.get("targets"))["activeTargets"]:
                await asyncio.sleep(0.1)


async def test_three_bots_of_one_process_keep_their_metrics_apart(tmp_path: Path, unused_tcp_port: int) -> None:
    bots = [ShardedBot(shard_count=2), PlainBot(), ShardedBot(shard_ids=[1], shard_count=3)]
    ports = range(unused_tcp_port, unused_tcp_port + 20)
    cogs = [
        ArgusExporter(bot, port=ports, bot=f"bot-{number}", file_sd_dir=tmp_path, state_dir=None)
        for number, bot in enumerate(bots)
    ]
    async with Simulator(guilds=6, members=1, channels=1) as sim, contextlib.AsyncExitStack() as stack:
        for bot, cog in zip(bots, cogs, strict=True):
            await bot.add_cog(cog)
            await stack.enter_async_context(logged_in(bot, sim))
        assert len({cog.port for cog in cogs}) == len(bots)
        assert all(cog.port in ports for cog in cogs)
        for cog in cogs:
            cog.exporter.sample()
        found = [cog.exporter.instruments for cog in cogs]
        assert [each.constant for each in found] == [{"bot": "bot-0"}, {"bot": "bot-1"}, {"bot": "bot-2"}]
        assert [value(each, "discord_shards") for each in found] == [2, 1, 3]
        assert [value(each, "discord_guilds") for each in found] == [len(bot.guilds) for bot in bots]
        assert len({len(bot.guilds) for bot in bots}) > 1
        await until(lambda: len(files(tmp_path)) == len(bots))
    assert files(tmp_path) == []


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
