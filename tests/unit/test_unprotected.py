"""Which namespaces are shown as routers without protection, and since when."""

from __future__ import annotations

from pathlib import Path

from havrrpd.core.node import Unprotected
from havrrpd.sources.keepalived.unprotected import UnprotectedNamespaces

FIRST = "3f0f7c1e-0000-4000-8000-000000000001"
SECOND = "3f0f7c1e-0000-4000-8000-000000000002"
INTERVAL = 2.0


def looked(
    namespaces: UnprotectedNamespaces,
    *at: float,
    routers: tuple[str, ...] = (),
    taken: tuple[str, ...] = (),
) -> list[str]:
    """The namespaces that are shown after scans at these times."""
    for now in at:
        namespaces.look(routers, taken, now)
    return [each.namespace for each in namespaces.found]


def test_only_namespaces_of_neutrons_routers_count(tmp_path: Path) -> None:
    for name in (f"qrouter-{SECOND}", f"snat-{FIRST}", f"qdhcp-{FIRST}", "qrouter-blue", "blue"):
        (tmp_path / name).touch()
    namespaces = UnprotectedNamespaces(tmp_path, INTERVAL)
    looked(namespaces, 0.0, 2.0, 4.0)
    assert namespaces.found == (
        Unprotected(FIRST, f"snat-{FIRST}"),
        Unprotected(SECOND, f"qrouter-{SECOND}"),
    )


def test_a_namespace_is_shown_when_two_scans_have_seen_it_and_until_it_goes(tmp_path: Path) -> None:
    namespaces = UnprotectedNamespaces(tmp_path, INTERVAL)
    assert looked(namespaces, 0.0) == []
    made = tmp_path / f"qrouter-{FIRST}"
    made.touch()
    assert looked(namespaces, 2.0, 4.0) == []
    assert looked(namespaces, 6.0) == [made.name]
    made.unlink()
    assert looked(namespaces, 8.0) == []
    made.touch()
    assert looked(namespaces, 10.0, 12.0) == []


def test_quick_scans_do_not_make_a_namespace_older(tmp_path: Path) -> None:
    (tmp_path / f"qrouter-{FIRST}").touch()
    namespaces = UnprotectedNamespaces(tmp_path, INTERVAL)
    assert looked(namespaces, 0.0, 0.05, 0.15, 0.35, 0.75, 1.55) == []


def test_a_known_router_is_not_shown_whatever_its_namespaces(tmp_path: Path) -> None:
    for name in (f"qrouter-{FIRST}", f"snat-{FIRST}", f"qrouter-{SECOND}"):
        (tmp_path / name).touch()
    namespaces = UnprotectedNamespaces(tmp_path, INTERVAL)
    looked(namespaces, 0.0, 2.0, 4.0)
    assert looked(namespaces, 6.0, routers=(FIRST,)) == [f"qrouter-{SECOND}"]
    assert looked(namespaces, 8.0, routers=(FIRST,), taken=(f"qrouter-{SECOND}",)) == []
    assert looked(namespaces, 10.0, 12.0) == []  # keepalived is gone: it is young again


def test_without_the_directory_there_is_nothing(tmp_path: Path) -> None:
    assert looked(UnprotectedNamespaces(tmp_path / "netns", INTERVAL), 0.0, 2.0, 4.0) == []
