"""The import arrows of the house: data flows one way, and only the daemon knows everyone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "havrrpd"
MODULES = sorted(HOUSE.rglob("*.py"))
OUTSIDE_WORLD = {
    *("asyncio", "socket", "os", "time", "random", "logging", "pathlib", "subprocess"),
    *("structlog", "aiohttp", "pyroute2", "uvloop", "prometheus_client"),
}
# What the rooms may import of the house. A room is a folder; each module of sources and levers is
# a room of its own.
ALLOWED = {
    "core": {"core"},
    "sources": {"core", "netns", "closing"},
    "levers": {"core"},
    "views": {"core"},
}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield node.module
            if node.module == "havrrpd":
                yield from (f"havrrpd.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(HOUSE))


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) == "core"], ids=name)
def test_the_core_touches_nothing_outside(path: Path) -> None:
    assert {module.split(".")[0] for module in imported(path)} & OUTSIDE_WORLD == set()


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) in ALLOWED], ids=name)
def test_imports_follow_the_flow(path: Path) -> None:
    here = path.relative_to(HOUSE).with_suffix("").parts
    for module in imported(path):
        parts = module.split(".")
        if parts[0] != "havrrpd" or len(parts) == 1:
            continue
        same_room = parts[1] == here[0] and parts[2:3] == list(here[1:2])
        inside_views = parts[1] == here[0] == "views"
        assert parts[1] in ALLOWED[here[0]] or same_room or inside_views, f"imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_daemon_and_command_line_know_the_daemon(path: Path) -> None:
    if room(path) not in ("cli", "__main__"):
        assert "havrrpd.daemon" not in set(imported(path))


# The doctor looks for keepalived as the daemon does, and without a daemon.
KNOWING_SOURCES = ("wiring.py", "doctor/looking/keepalived.py")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_the_wiring_and_the_doctor_know_the_sources(path: Path) -> None:
    if room(path) != "sources" and name(path) not in KNOWING_SOURCES:
        assert not any(module.startswith("havrrpd.sources") for module in imported(path))


@pytest.mark.parametrize("path", [p for p in MODULES if "doctor/rules" in name(p)], ids=name)
def test_the_rules_of_the_doctor_look_at_nothing_themselves(path: Path) -> None:
    modules = set(imported(path))
    assert {module.split(".")[0] for module in modules} & OUTSIDE_WORLD == set()
    assert not any(module.startswith("havrrpd.doctor.looking") for module in modules)


def test_the_core_is_found_at_all() -> None:
    assert len([p for p in MODULES if room(p) == "core"]) > 5
