"""`havrrpd explain` on a lab of three nodes: the sentences of an outage and of a drain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import pytest

from havrrpd.client import DEFAULT_SOCKET
from havrrpd.lab.client import get_json
from havrrpd.lab.waiting import LabError, wait_until
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def seen() -> Iterator[Watched]:
    with watched() as lab:
        yield lab


def explained(seen: Watched, node: str) -> str:
    """What the command prints; LabError with its exit code where something is wrong."""
    return seen.havrrpd(node, "explain", seen.lab.routers[0].id)


def answered(seen: Watched, node: str) -> str:
    """The same sentences, quickly, and whether or not something is wrong."""
    url = f"/status/{seen.lab.routers[0].id}"
    said = get_json(seen.lab.node(node).path(DEFAULT_SOCKET), url, 2.0)["explanation"]
    return "\n".join(said)


def wait_said(said: Callable[[str], str], nodes: Iterable[str], *wanted: str) -> str:
    """Wait until one of the nodes says all of these at once; returns which one."""
    asked = tuple(nodes)

    def found() -> str:
        texts = {node: said(node) for node in asked}
        for node, text in texts.items():
            if all(words in text for words in wanted):
                return node
        raise LabError("\n".join(texts.values()))

    return wait_until(found, 60.0, f"{wanted} in the explanation")


def test_in_a_steady_lab_everybody_says_who_is_master(seen: Watched) -> None:
    master = seen.reachable()
    wait_said(
        partial(explained, seen),
        [master],
        "MASTER for ",
        "203.0.113.1 answers",
        "This node resigns when a gateway misses 3 probes in a row (2 s).",
        "as untried.",
    )
    for node in seen.lab.names:
        if node != master:
            said = explained(seen, node)
            assert said.startswith("BACKUP for ")
            assert "is heard as MASTER with priority " in said
            assert "as untried." in said


def test_in_an_outage_of_all_they_say_what_they_wait_for(seen: Watched) -> None:
    seen.reachable()
    seen.lab.break_gateway()
    resigned = wait_said(
        partial(answered, seen),
        seen.lab.names,
        "has been resigning for ",
        ": its gateways were lost (gateway_lost).",
        "It ends when another MASTER is heard, or in ",
    )
    wait_said(partial(answered, seen), [resigned], "BACKUP for ", "It is tried: ", "as tried.")
    wait_said(
        partial(answered, seen),
        seen.lab.names,
        "gateway_unreachable: MASTER here, and 203.0.113.1",
        "This is turn ",
        "it lasts at least ",
        "this node resigns in ",
    )
    seen.lab.heal_gateway()
    seen.reachable()


def test_a_drained_node_says_so_and_how_it_ends(seen: Watched) -> None:
    master = seen.reachable()
    seen.havrrpd(master, "drain", "--wait")
    wait_said(
        partial(explained, seen),
        [master],
        "BACKUP for ",
        "This node is drained: the last resort, ",
        "`havrrpd undrain` ends the drain.",
        "as drained.",
    )
    seen.havrrpd(master, "undrain")
    wait_said(partial(explained, seen), [master], "BACKUP for ", "as untried.")
