"""Which router is meant: by its whole id or namespace, or by how one of them begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from havrrpd.client import Client, NoAnswerError, RefusedError

UNKNOWN, AMBIGUOUS = 404, 300  # as HTTP counts
_LISTED = 10

Json = dict[str, Any]


def ask_of(client: Client, given: str, ask: Callable[[str], Json]) -> Json:
    """What `ask` answers of the router that is meant. Raises RefusedError: it is none, or several.

    The whole name comes first, so that this costs nothing where it was given.
    """
    try:
        return ask(given)
    except RefusedError as refused:
        if refused.status != UNKNOWN:
            raise
    return ask(_meant(client.status(), given))


def router(client: Client, given: str) -> Json:
    """The router that is meant, as /status/{router} has it."""
    return ask_of(client, given, client.router)


def name(client: Client, given: str) -> str:
    """The whole id of the router that is meant."""
    return str(router(client, given)["router"])


def beginning(client: Client, begun: str) -> list[str]:
    """The ids that begin so; none where the daemon does not answer."""
    try:
        ids = [str(each["router"]) for each in client.status()["routers"]]
    except (NoAnswerError, RefusedError):
        return []
    return [each for each in ids if each.startswith(begun)]


def _meant(status: Json, given: str) -> str:
    names = {each: router["router"] for router in status["routers"] for each in _names(router)}
    if given in names:
        return str(names[given])
    found = sorted({id for each, id in names.items() if given and each.startswith(given)})
    if len(found) > 1:
        raise RefusedError(AMBIGUOUS, f"{given} begins {len(found)} routers: {_list(found)}")
    return found[0] if found else _refuse(status, given, sorted(names))


def _names(router: Json) -> Sequence[str]:
    return [router["router"], *([router["namespace"]] if router["namespace"] else [])]


def _refuse(status: Json, given: str, names: Sequence[str]) -> str:
    for each in status["unprotected"]:
        if given in (each["router"], each["namespace"]):
            text = f"{given} is not protected: no keepalived runs in {each['namespace']}"
            raise RefusedError(UNKNOWN, text)
    beginnings = {each[: len(given)]: each for each in names}
    close = [beginnings[each] for each in get_close_matches(given, beginnings, n=3)]
    hint = f"did you mean {' or '.join(close)}?" if close else "havrrpd status lists them"
    raise RefusedError(UNKNOWN, f"no router {given} on this node; {hint}")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
