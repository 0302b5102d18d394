"""A sentence for each problem: what it means here, and what to do; and for what nobody watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from havrrpd.core.explain.wording import add_stanza, duration, listing, mend_lever
from havrrpd.core.lever import REWRITE_DELAY
from havrrpd.core.model import Instance, Problem, Router, Verdict, VirtualAddress
from havrrpd.core.witnesses import presence


def sentences(router: Router, now: float) -> Iterator[str]:
    """Those of the instances first: they tell of addresses and of other masters."""
    for instance in router.instances:
        about = f" ({instance.config.name})" if len(router.instances) > 1 else ""
        for problem in _in_order(instance.problems):
            yield f"{problem}{about}: {_of_instance(problem, router, instance, now)}"
    for problem in _in_order(router.problems):
        yield f"{problem}: {_of_router(problem, router)}"


def unwatched(router: Router) -> Iterator[str]:
    """The witnesses that are not heard, and what is not known for it."""
    if router.pid is None or not router.instances:
        return
    if not router.wire_watched:
        yield (
            "The adverts are not watched: another MASTER or a hung keepalived is not seen, and no "
            "gateway makes this node resign."
        )
    if not router.notify_watched:
        yield f"keepalived's own words are not heard: {add_stanza(router)}."


def _in_order(problems: frozenset[Problem]) -> Iterator[Problem]:
    return (problem for problem in Problem if problem in problems)


def _of_instance(problem: Problem, router: Router, instance: Instance, now: float) -> str:
    match problem:
        case Problem.ADDRESSES_ORPHANED:
            return (
                f"no living keepalived owns what is left here: {_named(instance.present)}. Packets "
                "may end here. Start this keepalived: it clears them."
            )
        case Problem.ADDRESSES_MISSING:
            missing = set(instance.config.virtual_addresses) - instance.present
            return f"it is MASTER without {_named(missing)}. Reload its keepalived."
        case Problem.ADVERTS_STOPPED:
            return (
                f"keepalived runs and holds the role, and {_last_sent(instance, now)}: it hangs. "
                "Another node takes over, and both hold the addresses. Restart this keepalived."
            )
        case Problem.DUPLICATE_MASTER:
            return (
                f"{_masters(instance)} MASTER too. Check the network between the nodes, and that "
                "advert_int and virtual addresses are equal."
            )
        case Problem.NO_MASTER_HEARD:
            return (
                f"somebody should be MASTER by now, and nobody is heard on "
                f"{instance.config.interface}. Check the other nodes and that network."
            )
        case Problem.WITNESSES_DISAGREE:
            return (
                f"the kernel holds {presence(instance)} of its virtual addresses, "
                f"{_last_word(instance)}; {instance.state} is what kernel and process support. "
                "Look at the addresses in its namespace and at keepalived's log."
            )
        case (
            Problem.GATEWAY_UNREACHABLE | Problem.KEEPALIVED_DOWN | Problem.LEVER_MISSING
        ):  # of the router as a whole
            return _of_router(problem, router)
        case _:
            assert_never(problem)


def _of_router(problem: Problem, router: Router) -> str:
    match problem:
        case Problem.GATEWAY_UNREACHABLE:
            lost = [c.gateway.address for c in router.checks if c.verdict is Verdict.LOST]
            named = listing(map(str, lost)) if lost else "its gateways"
            return f"MASTER here, and {named} can't be reached. Look at the uplink of this node."
        case Problem.KEEPALIVED_DOWN:
            return "no keepalived runs for this router on this node. Start it."
        case Problem.LEVER_MISSING:
            return _lever_missing(router)
        case (
            Problem.ADDRESSES_ORPHANED
            | Problem.ADDRESSES_MISSING
            | Problem.ADVERTS_STOPPED
            | Problem.DUPLICATE_MASTER
            | Problem.NO_MASTER_HEARD
            | Problem.WITNESSES_DISAGREE
        ):  # of an instance
            return "see its instances."
        case _:
            assert_never(problem)


def _lever_missing(router: Router) -> str:
    election = router.election
    if router.lever is None:
        return (
            "this node should give the router away, and the loaded configuration has no track "
            f"file of ours: {mend_lever(router)}."
        )
    if election.rewrite_due is not None:
        return (
            f"{router.lever} could not be written, so its priority is not what it should be; "
            f"havrrpd tries again every {duration(REWRITE_DELAY)}. Look at that directory."
        )
    return (
        f"the last resignation through {router.lever} moved nothing: keepalived does not follow "
        "that file. Reload keepalived; its directory must be there before it starts."
    )


def _named(addresses: Iterable[VirtualAddress]) -> str:
    words = sorted(f"{a.address} on {a.interface}" for a in addresses)
    return listing(words) if words else "a virtual address"


def _last_sent(instance: Instance, now: float) -> str:
    if instance.last_sent == float("-inf"):
        return "no advert of it was ever seen"
    return f"its last advert went out {duration(now - instance.last_sent)} ago"


def _masters(instance: Instance) -> str:
    heard = [f"{m.address} (priority {m.priority})" for m in instance.masters]
    return f"{listing(heard)} {'is' if len(heard) == 1 else 'are'}" if heard else "another node is"


def _last_word(instance: Instance) -> str:
    return (
        "keepalived said nothing" if instance.word is None else f"keepalived said {instance.word}"
    )
