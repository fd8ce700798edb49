"""What comes on top of the stack for analytics hangs together, with Grafana's files and with the guides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.builder.boards.analytics import BOARDS
from grafana.builder.sql import DIALECTS
from tests.examples.programs import ROOT
from tests.examples.test_compose import EXAMPLES, SERVICES, VARIABLE

HERE = EXAMPLES / "analytics"
TEXT = (HERE / "compose.yaml").read_text(encoding="utf-8")
STACK: Any = yaml.safe_load(TEXT)
MORE: dict[str, Any] = STACK["services"]
GRAFANA = ROOT / "grafana"
GUIDE = (HERE / "README.md").read_text(encoding="utf-8")


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def seen(service: str) -> dict[str, Path]:
    """The files of the repository that a service sees, by where it sees them."""
    pairs = (each.split(":") for each in MORE[service].get("volumes", ()))
    return {pair[1]: (EXAMPLES / pair[0]).resolve() for pair in pairs if not pair[0].isalpha()}


def test_what_is_mounted_is_there() -> None:
    files = [path for service in MORE for path in seen(service).values()]
    assert len(files) == 6
    assert all(path.is_file() for path in files)


def test_it_only_adds_to_the_stack() -> None:
    assert set(MORE) - set(SERVICES) == {"postgres"} == set(STACK["volumes"])
    assert re.search(r":\d+\.\d+$", MORE["postgres"]["image"])
    assert "ports" not in MORE["postgres"]
    both = SERVICES["grafana"]["environment"].keys() & MORE["grafana"]["environment"].keys()
    assert both == set()


def test_no_secret_is_in_the_file_and_every_variable_is_in_the_example() -> None:
    example = (HERE / "env.example").read_text(encoding="utf-8")
    offered = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))
    assert offered == dict.fromkeys((found[1] for found in VARIABLE.finditer(TEXT)), "")
    for service in MORE.values():
        for name, value in service["environment"].items():
            assert not re.search("PASSWORD|SECRET", name) or VARIABLE.fullmatch(value), name


def test_grafana_finds_its_folders_and_data_sources() -> None:
    mounts, environment = seen("grafana"), MORE["grafana"]["environment"]
    folder = environment["GF_PATHS_PROVISIONING"]
    there = [
        path
        for at, path in mounts.items()
        if Path(at).parent in {Path(folder, "dashboards"), Path(folder, "datasources")}
    ]
    assert set((GRAFANA / "provisioning").rglob("*.yml")) < set(there)
    guilds = GRAFANA / "guild_provisioning"
    assert set(there) - set((GRAFANA / "provisioning").rglob("*.yml")) == {
        guilds / "dashboards" / "guilds.yml",
        guilds / "datasources" / "postgres.yml",
    }
    (provider,) = loaded(guilds / "dashboards" / "guilds.yml")["providers"]
    (board,) = [path for at, path in mounts.items() if Path(at).parent == Path(provider["options"]["path"])]
    assert board == GRAFANA / "guild_dashboards" / "analytics-postgres.json"
    text = (guilds / "datasources" / "postgres.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$(\w+)", text)) <= environment.keys()


@pytest.mark.parametrize("sql", DIALECTS, ids=lambda sql: sql.noun)
def test_a_data_source_is_of_the_boards_kind_and_its_secret_is_none_of_the_files(sql: Any) -> None:
    file = GRAFANA / "guild_provisioning" / "datasources" / f"{sql.noun}.yml"
    (source,) = loaded(file)["datasources"]
    assert source["type"] == sql.source.kind
    assert source["secureJsonData"] == {"password": f"$ARGUS_{sql.noun.upper()}_PASSWORD"}
    used = set(re.findall(r": \$(\w+)", file.read_text(encoding="utf-8")))
    assert used == set(re.findall(r"ARGUS_\w+", file.read_text(encoding="utf-8").partition("apiVersion")[0]))


def test_the_folder_is_one_of_its_own_and_so_are_the_files() -> None:
    (guilds,) = loaded(GRAFANA / "guild_provisioning" / "dashboards" / "guilds.yml")["providers"]
    (others,) = loaded(GRAFANA / "provisioning" / "dashboards" / "argus_exporter.yml")["providers"]
    assert all(guilds[key] != others[key] for key in ("name", "folder", "folderUid"))
    assert not Path(guilds["options"]["path"]).is_relative_to(others["options"]["path"])
    assert {path.stem for path in (GRAFANA / "guild_dashboards").iterdir()} == {board.noun for board in BOARDS}
    assert f"folders/{guilds['folderUid']}/permissions" in GUIDE
    assert f"*{guilds['folder']}*" in GUIDE


def test_the_users_are_made_as_the_guide_says() -> None:
    (script,) = re.findall(r"<<'SQL'\n(.*?)SQL\n", (HERE / "users.sh").read_text(encoding="utf-8"), re.DOTALL)
    (guide, *_) = re.findall(r"```sql\n(.*?)```", (HERE / "postgres.md").read_text(encoding="utf-8"), re.DOTALL)
    for name, value in {"'writer'": "'change me'", "'reader'": "'change me too'", '"database"': "argus"}.items():
        script = script.replace(f":{name}", value)
    there = {"CREATE DATABASE argus;", "\\connect argus"}
    assert script.splitlines() == [line for line in guide.splitlines() if line not in there]


def test_every_link_of_the_guide_leads_somewhere_and_its_command_is_the_files() -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!https)([^)]+)\)", GUIDE)]
    assert len(links) > 8
    assert [link for link in links if not (HERE / link).exists()] == []
    command = "docker compose -f examples/compose.yaml -f examples/analytics/compose.yaml --profile demo up --build"
    assert command in GUIDE
    assert command in TEXT
