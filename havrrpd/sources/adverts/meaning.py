"""Pure: what a packet on one interface tells. Mostly the same as the one before: looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from havrrpd.core.messages import AdvertHeard, AdvertSent
from havrrpd.core.model import InstanceConfig
from havrrpd.core.node import Oddity
from havrrpd.sources.adverts.decode import Advert, Rejected, decode, essence, objection
from havrrpd.sources.adverts.oddities import differences

Instances = Mapping[int, tuple[InstanceConfig, ...]]  # by VRID: one for each address family

_REMEMBERED = 8  # packets: a MASTER sends one and the same, an election a few


class Told(NamedTuple):
    """`odd`: in what the advert of another node differs from what ours would send."""

    event: AdvertSent | AdvertHeard
    odd: frozenset[Oddity]


class Meanings:
    """Of the packets on an interface with these instances."""

    def __init__(self, interface: str, instances: Instances) -> None:
        self._interface = interface
        self._instances = instances
        self._remembered: dict[tuple[bytes, bool], Told] = {}

    def of(self, packet: bytes, outgoing: bool) -> Told | Rejected:
        """`packet` starts at its IP header."""
        key = (essence(packet), outgoing)
        known = self._remembered.get(key)
        if known is not None:
            return known
        found = self._look_at(packet, outgoing)
        if isinstance(found, Told):
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def _look_at(self, packet: bytes, outgoing: bool) -> Told | Rejected:
        advert = decode(packet, self._instances)
        if isinstance(advert, Rejected):
            return advert
        return self._sent(advert) if outgoing else self._heard(advert)

    def _sent(self, advert: Advert) -> Told:
        event = AdvertSent(self._interface, advert.vrid, advert.source, advert.priority)
        return Told(event, frozenset())

    def _heard(self, advert: Advert) -> Told | Rejected:
        instances = self._instances[advert.vrid]
        reason = objection(advert, instances)
        if reason is not None:
            return Rejected(reason, advert.source)
        event = AdvertHeard(
            self._interface, advert.vrid, advert.source, advert.priority, advert.advert_int
        )
        return Told(event, differences(advert, instances))
