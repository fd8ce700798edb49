"""The stack of examples/compose.yaml hangs together. It is not run here: Docker is not at hand everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.demo import cli
from tests.examples.programs import ROOT
from tests.integration.programs import filtered

EXAMPLES = ROOT / "examples"
FILE = EXAMPLES / "compose.yaml"
TEXT = FILE.read_text(encoding="utf-8")
STACK: Any = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = STACK["services"]
GRAFANA = ROOT / "grafana"
VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def mounts(service: str) -> dict[str, str]:
    """What a service sees, by where it sees it; variables have their defaults."""
    texts = [VARIABLE.sub(lambda found: found[2], each) for each in SERVICES[service].get("volumes", ())]
    return {each.split(":")[1]: each.split(":")[0] for each in texts}


def on_host(service: str, path: str) -> Path:
    """The file in the repository that a service sees at a path."""
    seen = max((each for each in mounts(service) if path.startswith(each)), key=len)
    return (EXAMPLES / mounts(service)[seen] / path.removeprefix(seen).lstrip("/")).resolve()


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_in_the_repository_or_a_volume(service: str) -> None:
    for source in mounts(service).values():
        assert source in STACK["volumes"] if source.isalpha() else (EXAMPLES / source).exists(), source


def test_every_volume_is_used() -> None:
    assert set(STACK["volumes"]) == {
        each for service in SERVICES for each in mounts(service).values() if each.isalpha()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_ports_are_open_to_this_machine_alone(service: str) -> None:
    assert all(each.startswith("127.0.0.1:") for each in SERVICES[service].get("ports", ()))


def test_images_are_pinned_by_version() -> None:
    dockerfile = (EXAMPLES / "compose" / "Dockerfile").read_text(encoding="utf-8")
    images = [each["image"] for each in SERVICES.values() if "build" not in each]
    images += re.findall(r"(?m)^FROM (\S+)", dockerfile)
    assert len(images) == 4
    assert all(re.search(r":v?\d+\.\d+\.\d+", each) for each in images), images


def test_nothing_secret_is_in_the_file_and_every_variable_is_in_the_example() -> None:
    example = (EXAMPLES / "compose" / "env.example").read_text(encoding="utf-8")
    offered = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))
    assert offered.keys() == {found[1] for found in VARIABLE.finditer(TEXT)}
    assert (offered["GRAFANA_PASSWORD"], offered["DISCORD_TOKEN"]) == ("", "")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|TOKEN|SECRET", name) or VARIABLE.fullmatch(value), name
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_a_bot_is_chosen_by_its_profile_and_the_rest_is_always_there() -> None:
    assert {name: each.get("profiles", []) for name, each in SERVICES.items()} == {
        "demo": ["demo"],
        "own": ["own"],
        "prometheus": [],
        "alertmanager": [],
        "grafana": [],
    }


def test_the_demo_takes_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    python, dash, module, *arguments = SERVICES["demo"]["command"]
    assert (python, dash, module) == ("python", "-m", "examples.demo")
    given = cli._parser().parse_args(arguments)
    assert (given.plain, given.port) == (True, 9191)


def test_prometheus_finds_bots_rules_and_alertmanager() -> None:
    config = loaded(on_host("prometheus", "/etc/prometheus/prometheus.yml"))
    (scrape,) = config["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert set(found["names"]) == {name for name, each in SERVICES.items() if "build" in each}
    assert found["port"] == 9191
    (pattern,) = config["rule_files"]
    assert on_host("prometheus", pattern).parent == ROOT / "prometheus" / "rules"
    assert list((ROOT / "prometheus" / "rules").glob("*.yml"))
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


@pytest.mark.integration
async def test_prometheus_takes_its_configuration() -> None:
    path = on_host("prometheus", "/etc/prometheus/prometheus.yml")
    code, said = await filtered("promtool", "check", "config", "--syntax-only", str(path), text=b"")
    assert code == 0, said.decode()


def test_a_bots_labels_are_those_that_prometheus_gives_its_target() -> None:
    config = loaded(on_host("prometheus", "/etc/prometheus/prometheus.yml"))
    given = {each["target_label"]: each.get("replacement") for each in config["scrape_configs"][0]["relabel_configs"]}
    for name in ("demo", "own"):
        environment = SERVICES[name]["environment"]
        assert environment["ARGUS_BOT"] == name
        assert environment["ARGUS_CLUSTER"] == given["cluster"]
        assert environment["ARGUS_HOST"] == "0.0.0.0"  # noqa: S104  in the container


def test_grafana_has_its_data_sources_at_first_start() -> None:
    environment = SERVICES["grafana"]["environment"]
    sources = loaded(GRAFANA / "provisioning" / "datasources" / "argus_exporter.yml")["datasources"]
    for source in sources:
        kind, url = source["type"], environment[source["url"].removeprefix("$")]
        host, port = url.removeprefix("http://").split(":")
        assert (host, SERVICES[host]["ports"]) == (kind, [f"127.0.0.1:{port}:{port}"])
    assert [each["type"] for each in sources if each.get("isDefault")] == ["prometheus"]


def test_grafana_has_the_boards_at_first_start() -> None:
    assert on_host("grafana", "/etc/grafana/provisioning") == GRAFANA / "provisioning"
    (provider,) = loaded(GRAFANA / "provisioning" / "dashboards" / "argus_exporter.yml")["providers"]
    assert on_host("grafana", provider["options"]["path"]) == GRAFANA / "dashboards"
    home = on_host("grafana", SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.is_file()


def test_the_image_has_what_it_copies() -> None:
    dockerfile = (EXAMPLES / "compose" / "Dockerfile").read_text(encoding="utf-8")
    taken = {path for line in re.findall(r"(?m)^COPY (.+) \S+$", dockerfile) for path in line.split()}
    kept = (EXAMPLES / "compose" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert all((ROOT / path).exists() for path in taken)
    assert taken == {line[1:] for line in kept if line.startswith("!")}
    for service in ("demo", "own"):
        build = SERVICES[service]["build"]
        assert (EXAMPLES / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()


def test_ones_own_bot_is_at_first_the_simple_one() -> None:
    program = VARIABLE.sub(lambda found: found[2], SERVICES["own"]["command"][1])
    assert on_host("own", program) == EXAMPLES / "simple_bot.py"
