"""Transitions as JSON: made once, when one happens; then kept, written and answered as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from havrrpd.core.history import PER_NODE, History, Kept
from havrrpd.core.messages import ReportTransition
from havrrpd.core.model import Router, State
from havrrpd.core.node import Node
from havrrpd.views.documents import TransitionStatus
from havrrpd.views.status import rfc3339

DEFAULT_LIMIT = 1000
_NUMBER = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(TransitionStatus)


class BadQueryError(ValueError):
    """What was asked for can't be; the text says which, why, and what was expected."""


class Query(msgspec.Struct, frozen=True):
    router: str | None = None
    limit: int = DEFAULT_LIMIT
    since: float = 0.0  # seconds since the epoch


def record(history: History, router: Router, report: ReportTransition, epoch: float) -> Kept | None:
    """What to keep of a report of the core, of the router after that step. None: it is no news.

    `epoch`: seconds since the epoch at the monotonic moment 0.
    """
    instance = next(i for i in router.instances if i.config.name == report.instance)
    assert instance.last_transition is not None
    moment = instance.last_transition.at
    if report.old is State.INIT:
        running_since = epoch + instance.evidence.process_started
        if not history.is_news(router.id, report.instance, report.new, running_since):
            return None
    document: TransitionStatus = {
        "id": history.last_id + 1,
        "router": router.id,
        "vrrp_instance": report.instance,
        "vrid": instance.config.vrid,
        "from": report.old,
        "to": report.new,
        "at": rfc3339(epoch + moment),
        "cause": report.cause,
        "problems": sorted(router.problems | instance.problems),
        "evidence": [
            {
                "witness": each.witness,
                "said": each.said,
                "at": rfc3339(epoch + each.at),
                "relative_ms": round((each.at - moment) * 1000, 1),
            }
            for each in report.evidence
        ],
    }
    return Kept(
        document["id"],
        router.id,
        report.instance,
        report.new,
        epoch + moment,
        _encoder.encode(document),
    )


def recalled(line: bytes) -> Kept:
    """What was kept, from its document. Raises ValueError when it is none."""
    document = _decoder.decode(line)  # msgspec's errors are ValueErrors
    at = datetime.fromisoformat(document["at"]).timestamp()
    instance = document["vrrp_instance"]
    return Kept(document["id"], document["router"], instance, document["to"], at, line)


def query(asked: Mapping[str, str]) -> Query:
    """From the query of a URL. Raises BadQueryError."""
    for name in asked:
        if name not in ("router", "limit", "since"):
            raise BadQueryError(f'there is no "{name}": router, limit and since are known')
    since = asked.get("since")
    return Query(
        asked.get("router"),
        _limit(asked["limit"]) if "limit" in asked else DEFAULT_LIMIT,
        0.0 if since is None else _moment(since),
    )


def answer(node: Node, asked: Query) -> bytes:
    """The JSON of /history."""
    found = node.history.newest(asked.limit, asked.router, asked.since)
    documents = [msgspec.Raw(kept.document) for kept in found]
    return _encoder.encode({"node": node.name, "transitions": documents})


def _limit(given: str) -> int:
    if _NUMBER.fullmatch(given) and 1 <= int(given) <= PER_NODE:
        return int(given)
    raise BadQueryError(f'limit: must be from 1 to {PER_NODE}, got "{given}"')


def _moment(given: str) -> float:
    expected = "must be a time of RFC 3339, such as 2026-01-31T03:00:00Z"
    if not _TIME.fullmatch(given):
        raise BadQueryError(f'since: {expected}, got "{given}"')
    try:
        return datetime.fromisoformat(given).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadQueryError(f'since: {expected}, got "{given}": {error}') from error
