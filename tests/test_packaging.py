"""What users install: the wheel, what it says of itself, and what it needs."""

from __future__ import annotations

import ast
import email.message
import email.parser
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CORE = {"discord-py", "prometheus-client", "aiohttp", "psutil", "statsd"}
EXTRAS = {
    "clickhouse": {"clickhouse-connect"},
    "otel": {"opentelemetry-api"},
    "postgres": {"asyncpg"},
    "sentry": {"sentry-sdk"},
}
MODULES_OF = {
    "clickhouse_connect": "clickhouse-connect",
    "discord": "discord-py",
    "opentelemetry": "opentelemetry-api",
    "prometheus_client": "prometheus-client",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.parser.Parser().parsestr(wheel.read(name).decode())


def requirements(metadata: email.message.Message) -> list[Requirement]:
    return [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    files = (ROOT / "argus_exporter").rglob("*")
    sources = {str(path.relative_to(ROOT)) for path in files if path.suffix == ".py" or path.name == "py.typed"}
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == sources
    assert "argus_exporter/py.typed" in inside


def test_the_wheel_is_for_every_platform_and_has_the_licence(wheel: zipfile.ZipFile) -> None:
    assert str(wheel.filename).endswith("-py3-none-any.whl")
    (licence,) = (name for name in wheel.namelist() if name.endswith("/licenses/LICENSE"))
    assert b"MIT" in wheel.read(licence)


def test_the_core_needs_five_packages_and_no_more(metadata: email.message.Message) -> None:
    assert {canonicalize_name(found.name) for found in requirements(metadata) if not found.marker} == CORE


def test_what_only_some_need_is_an_extra(metadata: email.message.Message) -> None:
    optional = [found for found in requirements(metadata) if found.marker]
    assert set(metadata.get_all("Provides-Extra") or []) == set(EXTRAS)
    for extra, names in EXTRAS.items():
        asked = [found for found in optional if found.marker and found.marker.evaluate({"extra": extra})]
        assert {canonicalize_name(found.name) for found in asked} == names
    assert len(optional) == sum(map(len, EXTRAS.values()))


def test_what_the_code_imports_is_what_the_wheel_asks_for() -> None:
    imported = {name for path in (ROOT / "argus_exporter").rglob("*.py") for name in _imports(path)}
    others = imported - set(sys.stdlib_module_names) - {"argus_exporter"}
    assert {MODULES_OF.get(name, name) for name in others} <= CORE.union(*EXTRAS.values())


def _imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | named} - {"__future__"}


def test_the_supported_versions_are_the_ones_that_are_tested(metadata: email.message.Message) -> None:
    (discord_py,) = (
        found.specifier for found in requirements(metadata) if canonicalize_name(found.name) == "discord-py"
    )
    assert [minor for minor in range(10) if f"2.{minor}.0" in discord_py] == [4, 5, 6, 7]
    python = SpecifierSet(metadata["Requires-Python"])
    assert [minor for minor in range(9, 14) if f"3.{minor}.0" in python] == [11, 12, 13]
    classifiers = metadata.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers


def test_the_package_says_who_it_is(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "argus_exporter"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# argus_exporter")


def test_the_wheel_alone_is_importable_and_can_be_loaded_by_a_bot(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)  # noqa: S202 - we have just made it
    says = "import argus_exporter as a; print(a.__file__, callable(a.setup), a.__version__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:'audioop':DeprecationWarning", "-c", says],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    file, setup, version = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert setup == "True"
    assert f"argus_exporter-{version}-" in str(wheel.filename)


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile"} <= inside
    assert {"argus_exporter/py.typed", "tests/test_packaging.py", ".ci/constraints.txt"} <= inside
    assert "examples/discord_simulator/__init__.py" in inside


INSTALLED = """
import asyncio, sys, urllib.request, argus_exporter
async def main():
    async with argus_exporter.Exporter(port=0, state_dir="off") as exporter:
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    print(argus_exporter.__file__, argus_exporter.__version__, "process_resident_memory_bytes " in page)
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_it_is_installed_in_a_new_environment_and_works_without_the_repository(
    kind: str, built: Path, metadata: email.message.Message, tmp_path: Path
) -> None:
    """What it needs is lent by this environment, for an index may be away; that pip finds it enough is checked."""
    (archive,) = built.glob(kind)
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    (packages,) = folder.rglob("site-packages")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ARGUS_", "PYTHON"))}
    lent = tmp_path / "lent"
    lend(lent)
    (packages / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-index",
        "--no-build-isolation",
        str(archive),
    ]
    subprocess.run(pip, cwd=tmp_path, env=environ, check=True, capture_output=True)
    done = subprocess.run(
        [python, "-c", INSTALLED], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    file, version, works = done.stdout.split()
    assert Path(file).is_relative_to(folder)
    assert (version, works) == (metadata["Version"], "True")
    assert str(ROOT) not in done.stderr


def lend(folder: Path) -> None:
    """Everything of this environment but our own package, which is linked to the repository."""
    folder.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "argus_exporter" not in each.name and each.suffix != ".pth":
            (folder / each.name).symlink_to(each)
