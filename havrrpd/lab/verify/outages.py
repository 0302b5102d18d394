"""The steps that break something: what follows, how long traffic stands still, and the way back."""

from __future__ import annotations

import time

from havrrpd.lab.lab import Lab
from havrrpd.lab.network import Network, has_carrier
from havrrpd.lab.steady import wait_steady
from havrrpd.lab.turns import Turn, rounds, turns
from havrrpd.lab.verify.traffic import Traffic
from havrrpd.lab.verify.trial import SETTLED, Trial
from havrrpd.lab.waiting import LabError, wait_until

GATEWAY_LIMIT = 4.0  # seconds; a check script with fall 2 and an interval of 30 s takes 30 to 60
TCP_LIMIT = 20.0  # seconds; TCP itself waits ever longer between its attempts
TURNS_LIMIT = 60.0  # seconds; two rounds of three nodes take about 25


def overlay_lost(trial: Trial) -> str:
    old = trial.master()
    with Traffic(trial.lab) as traffic:
        lost = time.time()
        trial.lab.unplug(Network.OVERLAY, old)
        new = trial.successor(old)
        limit = trial.takeover_limit(new)
        flowing = _goes_on(traffic, lost, limit)
        if trial.cause(old) != "link_down":
            raise LabError(f"{old} gave the role up for {trial.cause(old)}")
        causes = f"{old}: {trial.cause(old)}, {new}: {trial.cause(new)}"
        wait_until(lambda: _each_has_one(trial), TURNS_LIMIT, "one MASTER for every router")
    return f"{old} -> {new} ({causes}), longest gap {flowing}"


def overlay_back(trial: Trial) -> str:
    lab = trial.lab
    cut = [name for name in lab.names if not has_carrier(Network.OVERLAY, lab.node(name))]
    if not cut:
        raise LabError("no overlay is lost any more: see the step before")
    before = {router.id: _holder(lab, router.number) for router in lab.routers}
    for name in cut:
        lab.plug(Network.OVERLAY, name)
    since = time.monotonic()
    wait_steady(lab)
    trial.stays(before, since)
    return f"every MASTER stays where it is, {SETTLED:g} s watched"


def havrrpd_killed(trial: Trial) -> str:
    lab = trial.lab
    before, master, entered = wait_steady(lab), trial.master(), _states_entered(lab)
    with Traffic(lab) as traffic:
        began, since = time.time(), time.monotonic()
        for name in lab.names:
            lab.kill_havrrpd(name)
        for name in lab.names:
            lab.start_havrrpd(name)
        wait_steady(lab)
        lab.stop_havrrpd(master)
        traffic.wait_flowing(time.time() + SETTLED, 3 * SETTLED)
        if moved := trial.holders.changes(since):
            raise LabError(f"{len(moved)} addresses came or went")
        lost = {kind: traffic.lost(kind, began) for kind in ("IPv4", "IPv6")}
        seconds = time.time() - began
    lab.start_havrrpd(master)
    if any(lost.values()):
        raise LabError(f"pings were lost: {lost}")
    if (after := wait_steady(lab)) != before:
        raise LabError(f"the masters were {before}, and are {after}")
    if more := _states_entered(lab) - entered:
        raise LabError(f"keepalived entered {more} states")
    return f"no ping lost in {seconds:.0f} s, no transition"


def gateways_lost(trial: Trial) -> str:
    lab, old = trial.lab, trial.master()
    with Traffic(lab) as traffic:
        lost = time.time()
        lab.break_gateway(old)
        new = trial.successor(old)
        flowing = _goes_on(traffic, lost, GATEWAY_LIMIT)
        if trial.cause(old) != "gateway_lost":
            raise LabError(f"{old} gave the role up for {trial.cause(old)}")
    lab.heal_gateway(old)
    wait_steady(lab)
    order = _round_robin(trial)
    lab.heal_gateway()
    settled = wait_steady(lab)
    trial.stays(settled, time.monotonic())
    return f"{old} -> {new}, longest gap {flowing}; all lost: turns {order}; back: stable"


def node_dies(trial: Trial) -> str:
    lab, old = trial.lab, trial.master()
    served = [router for router, master in wait_steady(lab).items() if master == old]
    died = time.monotonic()
    trial.kill(old)
    wait_until(lambda: _each_has_one(trial), TURNS_LIMIT, "one MASTER for every router")
    left = wait_steady(lab)
    seconds = [_taken_over(trial, router, left[router], died) for router in served]
    backups = len([name for name in lab.names if lab.node(name).alive]) - 1
    trial.rebuild(old)
    wait_steady(lab)
    spare = f"{backups} BACKUP left for each" if backups else "no redundancy left with two nodes"
    return (
        f"{len(served)} routers of {old} served by others after {max(seconds):.2f} s at most,"
        f" {spare}; it came back"
    )


def no_address_twice(trial: Trial) -> str:
    """Longer than an advert_int, in all that was done before."""
    longest, where, began = trial.holders.longest_shared()
    if longest > trial.lab.plan.advert_int:
        raise LabError(f"{longest:.2f} s in step {trial.step_at(began)}: {where}")
    on_wire = max((turn.contested for turn in _all_turns(trial)), default=0.0)
    if on_wire > trial.lab.plan.advert_int:
        raise LabError(f"two nodes sent adverts for {on_wire:.2f} s")
    return f"longest {longest * 1000:.0f} ms by the kernels, {on_wire * 1000:.0f} ms on the wire"


# --- parts ---


def _goes_on(traffic: Traffic, since: float, limit: float) -> str:
    """Everything flows again; LabError if the pings stood still for longer than the limit."""
    traffic.wait_flowing(time.time(), TCP_LIMIT)
    gaps = {kind: traffic.longest_gap(kind, since) for kind in ("IPv4", "IPv6", "TCP")}
    said = ", ".join(f"{kind} {gap * 1000:.0f} ms" for kind, gap in gaps.items())
    if max(gaps["IPv4"], gaps["IPv6"]) > limit:
        raise LabError(f"{said}, limit {limit * 1000:.0f} ms")
    return f"{said} (limit {limit * 1000:.0f} ms, the TCP stream goes on)"


def _taken_over(trial: Trial, router: str, new: str, died: float) -> float:
    """Seconds from a node's death to the new MASTER's first address; LabError if too long."""
    taken = (c.at for c in trial.holders.changes(died) if c.present and c.router == router)
    seconds, limit = min(taken) - died, trial.takeover_limit(new, router)
    if seconds > limit:
        raise LabError(f"{new} took {router[:8]} over after {seconds:.2f} s, limit {limit:.2f} s")
    return seconds


def _states_entered(lab: Lab) -> int:
    """How often any keepalived has entered a state, by what it has logged."""
    logs = (each.process.log.read_text() for each in lab.keepalived.values())
    return sum(log.count(") Entering ") for log in logs)


def _round_robin(trial: Trial) -> str:
    """All gateways lost: two rounds of one order, each node once in each; the turns."""
    size = len(trial.lab.names)
    began = time.time()
    trial.lab.break_gateway()

    def taken() -> list[Turn] | None:
        seen = _turns_since(trial, began)
        return seen[: 2 * size] if len(seen) > 2 * size else None

    limit = TURNS_LIMIT * max(1.0, size / 3)
    seen = wait_until(taken, limit, "two rounds of turns")
    order = " ".join(turn.node.removeprefix("network") for turn in seen)
    first, second = rounds(seen, size)
    if sorted(first) != sorted(trial.lab.names) or first != second:
        raise LabError(f"the turns were {order}")
    return order


def _turns_since(trial: Trial, began: float) -> list[Turn]:
    """Of the first router, with the one that the outage found."""
    adverts = [
        sent
        for sent in trial.wire.adverts()
        if (sent.project, sent.vrid) == (trial.router.project, trial.router.vrid)
    ]
    before = [sent for sent in adverts if sent.at < began]
    return turns(adverts[len(before[:-1]) :])


def _all_turns(trial: Trial) -> list[Turn]:
    return [
        turn
        for router in trial.lab.routers
        for turn in turns(
            sent
            for sent in trial.wire.adverts()
            if (sent.project, sent.vrid) == (router.project, router.vrid)
        )
    ]


def _holder(lab: Lab, router: int) -> str:
    holders = lab.holders(router)
    if len(holders) != 1:
        raise LabError(f"the addresses of router {router} are on {holders or 'no node'}")
    return holders[0]


def _each_has_one(trial: Trial) -> bool:
    return all(_holder(trial.lab, router.number) for router in trial.lab.routers)
