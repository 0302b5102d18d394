"""The history: its bounds, what is news, its documents, and what may be asked of it."""

from __future__ import annotations

import json
from datetime import UTC

import click
import pytest
from msgspec.structs import replace

from havrrpd.core.history import History, Kept
from havrrpd.core.messages import ReportTransition
from havrrpd.core.model import Cause, Problem, State, Statement, Witness
from havrrpd.core.node import Node
from havrrpd.terminal.history import history_table
from havrrpd.views.history import BadQueryError, Query, answer, query, recalled, record
from tests.support import Driven

EPOCH = 1_700_000_000.0 - 1000.0  # 2023-11-14T22:13:20Z is the moment 1000


def kept(number: int, router: str = "a", to: State = State.MASTER) -> Kept:
    return Kept(number, router, "VR_1", to, float(number), b'{"id":%d}' % number)


def filled(*records: Kept, per_node: int = 100, per_router: int = 100) -> History:
    history = History(per_node, per_router)
    for each in records:
        history.add(each)
    return history


def ids(history: History) -> list[int]:
    return [each.id for each in history]


def test_of_all_routers_the_oldest_go_first() -> None:
    history = filled(*(kept(n, f"r{n % 3}") for n in range(1, 8)), per_node=4)
    assert ids(history) == [4, 5, 6, 7]
    assert [each.id for each in history.newest(9, "r1")] == [7, 4]


def test_a_router_that_flaps_pushes_out_its_own_and_no_others() -> None:
    quiet = kept(1, "quiet")
    history = filled(quiet, *(kept(n, "flaps") for n in range(2, 90)), per_node=4, per_router=3)
    assert ids(history) == [1, 87, 88, 89]


def test_a_router_of_which_nothing_is_left_is_forgotten() -> None:
    history = filled(kept(1, "gone"), kept(2), kept(3), per_node=2)
    assert "gone" not in history
    assert "a" in history
    assert list(history.newest(9, "gone")) == []


def test_the_newest_come_first_as_many_as_asked_and_none_from_before() -> None:
    history = filled(*(kept(n) for n in range(1, 6)))
    assert [each.id for each in history.newest(2)] == [5, 4]
    assert [each.id for each in history.newest(9, since=4.0)] == [5, 4]
    assert [each.id for each in history.between(3, 5)] == [4, 5]
    assert [each.id for each in history.between(2, 4)] == [3, 4]
    assert history.between(5, 5) == []


def test_ids_only_grow() -> None:
    history = filled(kept(7))
    with pytest.raises(ValueError, match="id 7 does not follow 7"):
        history.add(kept(7))


# --- documents ---

PROMOTED = ReportTransition(
    "VR_1",
    State.BACKUP,
    State.MASTER,
    Cause.PEER_RESIGNED,
    (Statement(Witness.WIRE, "169.254.192.2 resigned: priority 0", 1009.9876),),
)


def promoted(history: History, at: float = 10.0) -> Kept:
    driven = Driven().as_backup().feed(at=at).hear(0).promote()
    router = replace(driven.router, problems=frozenset({Problem.LEVER_MISSING}))
    found = record(history, router, PROMOTED, EPOCH)
    assert found is not None
    history.add(found)
    return found


def test_a_transition_is_shown_with_cause_problems_and_evidence() -> None:
    assert json.loads(promoted(filled(kept(16))).document) == {
        "id": 17,
        "router": "r1",
        "vrrp_instance": "VR_1",
        "vrid": 1,
        "from": "BACKUP",
        "to": "MASTER",
        "at": "2023-11-14T22:13:30.000Z",
        "cause": "peer_resigned",
        "problems": ["lever_missing"],
        "evidence": [
            {
                "witness": "wire",
                "said": "169.254.192.2 resigned: priority 0",
                "at": "2023-11-14T22:13:29.987Z",
                "relative_ms": -12.4,
            }
        ],
    }


def test_what_was_written_is_recalled_as_it_was() -> None:
    found = promoted(History())
    assert recalled(found.document) == found


@pytest.mark.parametrize("line", [b"", b"{}", b'{"id":1', b"\0\0\0", b"[]", b'{"id":"x"}'])
def test_a_line_that_is_no_transition_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        recalled(line)


def test_the_answer_has_the_documents_as_they_are() -> None:
    history = History()
    first, second = promoted(history), promoted(history)
    node = Node("network1", "9.9", 1000.0, EPOCH + 1000.0, 0.0, history=history)
    assert json.loads(answer(node, Query(limit=5))) == {
        "node": "network1",
        "transitions": [json.loads(second.document), json.loads(first.document)],
    }


# --- what is found at start ---


def found(history: History, to: State, process_started: float) -> Kept | None:
    """havrrpd starts at the moment 2000, and finds an instance in a state."""
    driven = Driven().as_master().feed(at=1000.0)
    (instance,) = driven.router.instances
    assert instance.last_transition is not None
    instance = replace(
        instance,
        last_transition=replace(instance.last_transition, at=2000.0),
        evidence=replace(instance.evidence, process_started=process_started),
    )
    router = replace(driven.router, instances=(instance,))
    return record(history, router, ReportTransition("VR_1", State.INIT, to, Cause.STARTED), EPOCH)


def test_a_state_that_is_found_as_it_was_left_is_no_news() -> None:
    history = History()
    promoted(history)
    assert found(history, State.MASTER, process_started=900.0) is None
    assert len(history) == 1


def test_another_state_or_another_keepalived_is_news() -> None:
    for to, process_started in ((State.BACKUP, 900.0), (State.MASTER, 1500.0)):
        history = History()
        promoted(history)
        assert found(history, to, process_started) is not None


def test_what_is_found_first_of_all_is_news() -> None:
    assert found(History(), State.BACKUP, process_started=900.0) is not None


# --- what may be asked ---


def test_a_query_is_read() -> None:
    asked = {"router": "a", "limit": "5", "since": "2023-11-14T22:13:20+00:00"}
    assert query(asked) == Query("a", 5, 1_700_000_000.0)
    assert query({}) == Query(None, 1000, 0.0)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"limit": "0"}, 'limit: must be from 1 to 10000, got "0"'),
        ({"limit": "10001"}, 'limit: must be from 1 to 10000, got "10001"'),
        ({"limit": "1_0"}, 'limit: must be from 1 to 10000, got "1_0"'),
        (
            {"since": "yesterday"},
            'since: must be a time of RFC 3339, such as 2026-01-31T03:00:00Z, got "yesterday"',
        ),
        (
            {"since": "2026-02-30T03:00:00Z"},
            "since: must be a time of RFC 3339, such as 2026-01-31T03:00:00Z, "
            'got "2026-02-30T03:00:00Z": day is out of range for month',
        ),
        ({"routers": "a"}, 'there is no "routers": router, limit and since are known'),
    ],
)
def test_a_query_that_can_not_be_is_refused_with_the_reason(
    asked: dict[str, str], text: str
) -> None:
    with pytest.raises(BadQueryError) as refused:
        query(asked)
    assert str(refused.value) == text


# --- for a terminal ---


def test_a_table_of_transitions_with_their_evidence() -> None:
    transition = json.loads(promoted(History()).document)
    long_ago = {"witness": "process", "said": "keepalived runs, pid 7", "relative_ms": -7_300_000.0}
    transition["evidence"].insert(0, long_ago)
    assert plain(history_table([transition], zone=UTC)) == [
        "WHEN                     ROUTER  INSTANCE  FROM    TO      CAUSE          PROBLEMS",
        "2023-11-14 22:13:30.000  r1      VR_1      BACKUP  MASTER  peer_resigned  lever_missing",
    ]
    assert plain(history_table([transition], evidence=True, zone=UTC))[2:] == [
        "          -2 h  process       keepalived runs, pid 7",
        "      -12.4 ms  wire          169.254.192.2 resigned: priority 0",
    ]


def plain(lines: list[str]) -> list[str]:
    return [click.unstyle(line) for line in lines]
