"""What all steps of a verification share: the lab, its traffic, and who is watched meanwhile."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any, Self

from havrrpd.lab.lab import Lab, Say
from havrrpd.lab.network import Network
from havrrpd.lab.steady import masters, router_at, wait_steady
from havrrpd.lab.verify.holders import Holders
from havrrpd.lab.waiting import LabError, wait_until
from havrrpd.lab.wire import Wire

SETTLED = 5.0  # seconds in which nothing may move
MOVE_LIMIT = 20.0


class Trial:
    """A context manager. The first router is the one that the traffic goes through."""

    def __init__(self, lab: Lab, say: Say) -> None:
        self.lab, self.say = lab, say
        self.router = lab.routers[0]
        self._begun: list[tuple[float, int]] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.holders = stack.enter_context(Holders(self.lab))
            self.wire = stack.enter_context(Wire(self.lab))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def begins(self, step: int) -> None:
        self._begun.append((time.monotonic(), step))

    def step_at(self, moment: float) -> int:
        """The step that ran then, by the monotonic clock."""
        return max((step for began, step in self._begun if began <= moment), default=0)

    def master(self) -> str:
        """Of the first router, when nothing is wrong anywhere."""
        return wait_steady(self.lab)[self.router.id]

    def successor(self, old: str, limit: float = MOVE_LIMIT) -> str:
        """Wait for another MASTER of the first router than `old`, whatever that one says."""
        others = [name for name in self.lab.names if name != old and self.lab.node(name).alive]

        def promoted() -> str | None:
            found = [n for n in others if self.shown(n)["state"] == "MASTER"]
            return found[0] if len(found) == 1 else None

        return wait_until(promoted, limit, f"another MASTER than {old}", every=0.1)

    def shown(self, name: str) -> dict[str, Any]:
        """What a node says of the first router."""
        return router_at(self.lab, name, self.router.id)

    def cause(self, name: str) -> str:
        """Of the last transition of the first router on a node."""
        transition = self.shown(name)["instances"][0]["last_transition"]
        return str(transition["cause"]) if transition else "nothing yet"

    def takeover_limit(self, name: str, router: str | None = None) -> float:
        """Active_Down_Interval + 1 s, with the priority of the node that took over."""
        shown = router_at(self.lab, name, router or self.router.id)
        priority = int(shown["instances"][0]["effective_priority"])
        advert_int = self.lab.plan.advert_int
        scale = 1.0 if self.lab.plan.version == 2 else advert_int
        return 3 * advert_int + (256 - priority) / 256 * scale + 1.0

    def stays(self, expected: dict[str, str], since: float) -> None:
        """Nothing moves for a while; LabError if an address did. `since` is monotonic."""
        time.sleep(SETTLED)  # the measurement itself: a stretch in which nothing should happen
        if moved := self.holders.changes(since):
            seen = ", ".join(sorted({f"{c.router[:8]} on {c.node}" for c in moved}))
            raise LabError(f"something moved: {seen}")
        if (now := masters(self.lab)) != expected:
            raise LabError(f"the masters were {expected}, and are {now}")

    def mend(self) -> None:
        """After a step that failed: everything as it was, for those that follow."""
        self.lab.heal_gateway()
        for name in self.lab.names:
            if not self.lab.node(name).alive:
                self.rebuild(name)
            self.lab.heal_gateway(name)
            self.lab.plug(Network.OVERLAY, name)
            self.lab.restart_havrrpd(name)
            self.lab.restart_keepalived(name)
        with contextlib.suppress(LabError):  # the next step says what is wrong
            wait_steady(self.lab)

    def kill(self, name: str) -> None:
        """What watches it goes first: it would keep the addresses of the dead node there."""
        self.holders.forget(name)
        self.wire.forget(name)
        self.lab.kill_node(name)

    def rebuild(self, name: str) -> None:
        """Watched before anything runs on it again: it may not take an address that is held."""

        def watch() -> None:
            self.holders.watch(name)
            self.wire.watch(name)

        self.lab.rebuild_node(name, watch)
