"""The links of the node's own namespace as events for the routers that name them as uplinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from havrrpd.core.messages import Event, KernelListed, LinkChanged, LinkRemoved, UplinksChanged

log = structlog.get_logger()


class Uplinks:
    """Tells each router which of its uplinks are down, when that changes.

    `watch` is told whether any router names one. Nothing is down before the links were listed.
    """

    def __init__(
        self, emit: Callable[[str, UplinksChanged], None], watch: Callable[[bool], None]
    ) -> None:
        self._emit = emit
        self._watch = watch
        self._named: dict[str, frozenset[str]] = {}  # by router
        self._told: dict[str, frozenset[str]] = {}  # by router, what was down
        self._links: dict[str, bool] | None = None  # interface -> up; None: not listed

    def name(self, router_id: str, uplinks: Sequence[str]) -> None:
        """Those that the router's settings name; none: it has nothing to do with them."""
        before = bool(self._named)
        if uplinks:
            self._named[router_id] = frozenset(uplinks)
        else:
            self._named.pop(router_id, None)
        if bool(self._named) is not before:
            self._links = None
            self._watch(not before)
        self._tell(router_id)

    def forget(self, router_id: str) -> None:
        """The router is gone."""
        self._told.pop(router_id, None)
        self.name(router_id, ())

    def heard(self, event: Event) -> None:
        """What the kernel said of the node's own namespace."""
        match event:
            case KernelListed(links):
                self._links = dict(links)
                concerned = list(self._named)
            case LinkChanged(interface, up) if self._links is not None:
                self._links[interface] = up
                concerned = self._naming(interface)
            case LinkRemoved(interface) if self._links is not None:
                self._links.pop(interface, None)
                concerned = self._naming(interface)
            case _:
                return
        for router_id in concerned:
            self._tell(router_id)

    def _naming(self, interface: str) -> list[str]:
        named = [router_id for router_id, uplinks in self._named.items() if interface in uplinks]
        if named:
            log.warning("uplink.changed", interface=interface, up=self._is_up(interface))
        return named

    def _tell(self, router_id: str) -> None:
        down = self._down(self._named.get(router_id, frozenset()))
        if down != self._told.get(router_id, frozenset()):
            self._told[router_id] = down
            self._emit(router_id, UplinksChanged(down))

    def _down(self, uplinks: frozenset[str]) -> frozenset[str]:
        return frozenset(name for name in uplinks if not self._is_up(name))

    def _is_up(self, interface: str) -> bool:
        return self._links is None or self._links.get(interface, False)
