"""What starts bots on machines hangs together: Kubernetes, systemd, Docker. What reads it does so, where it is here."""

from __future__ import annotations

import asyncio
import copy
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from argus_exporter.settings import Settings
from examples.discord_simulator import Simulator
from tests.clients import until
from tests.examples.manifests import complaints
from tests.examples.programs import ROOT, STRICT, running
from tests.examples.test_bots import HERE
from tests.integration.programs import filtered, free_port

MANIFESTS = ROOT / "prometheus" / "kubernetes"
FLEET: Any = yaml.safe_load((ROOT / "examples" / "fleet" / "compose.yaml").read_text("utf-8"))
BOTS = {name: each for name, each in FLEET["services"].items() if "build" in each}
UNIT = ROOT / "examples" / "systemd" / "argus-bot@.service"
PROBES = ("startup", "liveness", "readiness")


def manifest(name: str) -> Any:
    return yaml.safe_load((MANIFESTS / f"{name}.yml").read_text("utf-8"))


# ------------------------------------------------------------------------------------------------ Kubernetes


@pytest.mark.parametrize(
    "path", [path for path in sorted(MANIFESTS.glob("*.yml")) if path.stem != "scrape"], ids=lambda path: path.stem
)
def test_the_api_server_would_take_a_manifest(path: Path) -> None:
    document = manifest(path.stem)
    assert complaints(document) == []
    for damaged in damages(document):
        assert complaints(damaged), damaged
    assert f"[{path.name}]({path.name})" in (MANIFESTS / "README.md").read_text("utf-8")


def damages(document: Any) -> Iterator[Any]:
    """The document, each time with something in it that makes no sense."""
    for change in ({"kind": "Pod"}, {"metadata": {"name": "A b"}}, {"spec": {**document["spec"], "replica": 1}}):
        yield {**copy.deepcopy(document), **change}
    yield {key: value for key, value in document.items() if key != "metadata"}


def test_what_belongs_together_in_a_manifest_is_seen() -> None:
    for path, value, complaint in (
        (("selector", "matchLabels", "app.kubernetes.io/name"), "other", "the selector does not find the pods"),
        (("template", "spec", "containers", 0, "volumeMounts", 0, "name"), "other", "no volume other"),
        (("template", "spec", "containers", 0, "livenessProbe", "httpGet", "port"), "other", "no port other"),
        (("template", "spec", "containers", 0, "ports", 0, "containerPort"), "9191", None),
        (("template", "spec", "containers", 0, "resources", "limits", "memory"), "1 GB", None),
        (("template", "spec", "enableServiceLinks"), "no", None),
        (("template", "spec", "containers"), [], None),
    ):
        document = spec = manifest("statefulset")
        for key in ("spec", *path[:-1]):
            spec = spec[key]
        spec[path[-1]] = value
        assert complaint in complaints(document) if complaint else complaints(document), path


@pytest.mark.parametrize("name", ["statefulset", "deployment"])
def test_a_pod_is_probed_where_the_exporter_answers_and_may_do_little(name: str) -> None:
    pod = manifest(name)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().port
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in PROBES}
    assert paths == {"startup": "/startupz", "liveness": "/livez", "readiness": "/readyz"}
    assert pod["securityContext"]["runAsNonRoot"] is container["securityContext"]["readOnlyRootFilesystem"] is True
    environ = {each["name"]: each.get("value", "0") for each in container["env"]}
    assert Settings.load(environ | {"ARGUS_STATE_DIR": "off"}).host == "0.0.0.0"  # noqa: S104


def test_the_network_policy_lets_prometheus_in_where_the_metrics_are() -> None:
    policy = manifest("networkpolicy")["spec"]
    for name in ("statefulset", "deployment"):
        template = manifest(name)["spec"]["template"]
        assert policy["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        assert policy["ingress"][0]["ports"][0]["port"] == template["spec"]["containers"][0]["ports"][0]["name"]
    assert manifest("service")["metadata"]["name"] == manifest("statefulset")["spec"]["serviceName"]


# ------------------------------------------------------------------------------------------------ systemd


def here(tmp_path: Path) -> Path:
    """The unit, with programs and folders that this machine has."""
    text = UNIT.read_text("utf-8").replace("/opt/my-bot/.venv/bin/python", sys.executable)
    text = text.replace("/opt/my-bot", str(ROOT / "examples")).replace("User=my-bot", "User=daemon")
    unit = tmp_path / "argus-bot@0.service"
    unit.write_text(text, "utf-8")
    return unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_takes_the_unit_and_finds_it_safe(tmp_path: Path) -> None:
    unit = str(here(tmp_path))
    for command in (("verify", "--man=no", unit), ("security", "--offline=yes", "--threshold=20", unit)):
        done = subprocess.run(["systemd-analyze", *command], capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if "argus-bot" in line]
        assert (done.returncode, said) == (0, []), done.stdout + done.stderr


def test_the_unit_says_what_the_exporter_tells_systemd() -> None:
    text = UNIT.read_text("utf-8")
    assert {"Type=notify", "WatchdogSec=60", "KillSignal=SIGINT"} <= set(text.splitlines())
    given = dict(pair.split("=", 1) for line in re.findall(r"(?m)^Environment=(.*)$", text) for pair in line.split())
    settings = Settings.load({name: value.replace("%i", "3") for name, value in given.items()})
    assert (settings.cluster, settings.port) == ("3", range(9191, 9200))
    (folders,) = re.findall(r"(?m)^StateDirectory=(.*)$", text)
    state = {f"/var/lib/{folder}" for folder in folders.split()}
    assert {str(settings.file_sd_dir), str(settings.state_dir)} <= state


# ------------------------------------------------------------------------------------------------ containers


def test_the_processes_of_the_fleet_share_the_shards_and_a_folder() -> None:
    clusters = [each["environment"]["ARGUS_CLUSTER"] for each in BOTS.values()]
    assert sorted(clusters) == [str(number) for number in range(int(BOTS["bot-0"]["environment"]["CLUSTERS"]))]
    for name, each in BOTS.items():
        settings = Settings.load({**each["environment"], "ARGUS_STATE_DIR": "off"})
        assert (each["hostname"], settings.bot, str(settings.file_sd_dir)) == (name, "my-bot", "/targets")
        assert "targets:/targets" in each["volumes"]
        assert (ROOT / each["build"]["dockerfile"]).is_file()
        assert (ROOT / each["command"][1]).is_file()
        assert ":9191/livez" in each["healthcheck"]["test"][-1]
    assert "/targets\n" in (ROOT / "examples" / "compose" / "Dockerfile").read_text("utf-8")
    assert "targets:/targets:ro" in FLEET["services"]["prometheus"]["volumes"]
    used = {each.split(":")[0] for service in FLEET["services"].values() for each in service["volumes"]}
    assert {each for each in used if each.isalpha()} == set(FLEET["volumes"])


@pytest.mark.integration
async def test_the_fleet_s_prometheus_takes_its_configuration() -> None:
    path = str(ROOT / "examples" / "fleet" / "prometheus.yml")
    code, said = await filtered("promtool", "check", "config", "--syntax-only", path, text=b"")
    assert code == 0, said.decode()


def test_the_fleet_s_prometheus_reads_what_the_bots_write() -> None:
    config = yaml.safe_load((ROOT / "examples" / "fleet" / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == ["/targets/*.json"]
    assert job["honor_labels"] is True


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
async def test_a_process_of_the_fleet_takes_its_shards_and_ends_in_peace(tmp_path: Path) -> None:
    program = HERE + f"runpy.run_path({str(ROOT / 'examples' / 'cluster_bot.py')!r}, run_name='__main__')"
    environment = {"SHARDS": "3", "CLUSTERS": "2", "ARGUS_CLUSTER": "1", "DISCORD_TOKEN": "simulator-token", **STRICT}
    environment |= {"ARGUS_PORT": str(free_port()), "ARGUS_STATE_DIR": "off", "ARGUS_FILE_SD_DIR": str(tmp_path)}
    async with (
        Simulator(guilds=2, members=1, channels=1, shards=3) as sim,
        running("-c", program, sim.url, **environment) as bot,
    ):
        await sim.wait_for_shards(2, 60)
        assert sorted(sim.sessions) == [1, 2]
        await until(lambda: list(tmp_path.iterdir()), 30)
        bot.process.send_signal(signal.SIGTERM)
        code, lines = await bot.end()
        assert (code, [line for line in lines if "Traceback" in line]) == (0, []), lines
        assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
