"""The examples for a bot that nobody can reach: the bot runs as it stands, and the stacks hang together."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest
import yaml

from examples.discord_simulator import Simulator
from tests.examples.programs import ROOT, STRICT, running
from tests.integration.programs import filtered

PUSH = ROOT / "examples" / "push"
STACKS: dict[str, Any] = {
    name: yaml.safe_load((PUSH / f"{name}.yaml").read_text(encoding="utf-8"))
    for name in ("graphite", "statsd_exporter", "datadog")
}
SERVICES = [(stack, service) for stack, file in STACKS.items() for service in file["services"]]
HERE = "import runpy, sys; from examples.discord_simulator import point_at; point_at(sys.argv[1])\n"
"""Runs a program on the simulator; nothing of it is changed."""


def service_of(stack: str, service: str) -> dict[str, Any]:
    found: dict[str, Any] = STACKS[stack]["services"][service]
    return found


async def come(receiver: socket.socket, *wanted: str) -> None:
    """Wait for lines."""
    left = set(wanted)
    async with asyncio.timeout(30):
        while left:
            left.difference_update((await asyncio.get_running_loop().sock_recv(receiver, 65536)).decode().splitlines())


async def test_the_bot_pushes_what_a_page_would_have_and_what_it_counts_itself() -> None:
    program = HERE + f"runpy.run_path({str(ROOT / 'examples' / 'pushing_bot.py')!r}, run_name='__main__')"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        environment = {
            "ARGUS_STATSD_URL": f"udp://127.0.0.1:{receiver.getsockname()[1]}",
            "ARGUS_STATSD_INTERVAL": "0.2",
            "ARGUS_BOT": "my-bot",
            "ARGUS_STATE_DIR": "off",
            "DISCORD_TOKEN": "simulator-token",
        }
        async with (
            Simulator(guilds=2, members=3, channels=1) as sim,
            running("-c", program, sim.url, **environment, **STRICT),
        ):
            await come(receiver, "discord_shard_status:3|g|#bot:my-bot,shard:0", "starts:1|c|#bot:my-bot")


@pytest.mark.parametrize(("stack", "service"), SERVICES)
def test_what_a_service_sees_is_there(stack: str, service: str) -> None:
    for mount in service_of(stack, service).get("volumes", ()):
        source = mount.split(":")[0]
        assert source in STACKS[stack]["volumes"] if source.isalpha() else (PUSH / source).exists(), source


@pytest.mark.parametrize(("stack", "service"), SERVICES)
def test_ports_are_open_to_this_machine_alone_unless_said_otherwise(stack: str, service: str) -> None:
    for port in service_of(stack, service).get("ports", ()):
        assert port.startswith("127.0.0.1:") or port == "${LISTEN:-127.0.0.1}:8125:8125/udp"


@pytest.mark.parametrize(("stack", "service"), SERVICES)
def test_images_are_pinned_and_nothing_secret_is_in_the_file(stack: str, service: str) -> None:
    found = service_of(stack, service)
    assert re.search(r":v?\d+\.\d+\.\d+", found["image"])
    for name, value in found.get("environment", {}).items():
        assert not re.search("PASSWORD|KEY", name) or value.startswith("${")


@pytest.mark.parametrize("stack", STACKS)
def test_each_stack_takes_what_the_bot_pushes_and_is_explained(stack: str) -> None:
    ports = [port for service in STACKS[stack]["services"].values() for port in service.get("ports", ())]
    assert sum("8125/udp" in port for port in ports) == 1
    assert f"docker compose -f examples/push/{stack}.yaml up" in (PUSH / "README.md").read_text(encoding="utf-8")


def test_prometheus_scrapes_statsd_exporter_as_its_mapping_says() -> None:
    mapping = (ROOT / "prometheus" / "statsd_exporter.yml").read_text(encoding="utf-8")
    (advice,) = re.findall(r"(?ms)^#   - job_name: .*?(?=^#$|^# \w|^#\n)", mapping)
    (wanted,) = yaml.safe_load(re.sub(r"(?m)^#", "", advice))
    (job,) = yaml.safe_load((PUSH / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert job["metric_relabel_configs"] == wanted["metric_relabel_configs"]
    assert (job["job_name"], job["honor_labels"]) == (wanted["job_name"], wanted["honor_labels"])


@pytest.mark.integration
async def test_prometheus_takes_its_configuration() -> None:
    file = str(PUSH / "prometheus.yml")
    assert (await filtered("promtool", "check", "config", "--syntax-only", file, text=b""))[0] == 0
