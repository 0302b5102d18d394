"""What is odd about the adverts of others: kept for whoever looks, and no decision is made by it.

All nodes of a router must send the same version, advert_int, addresses and authentication. One that
differs there has another configuration, or is another router with our VRID.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from havrrpd.core.authentication import AH, password
from havrrpd.core.model import InstanceConfig, IPAddress
from havrrpd.core.node import OddAdvert, Oddity
from havrrpd.sources.adverts.decode import Advert, Reason

MOST = 8  # kept for a router; more are forged, and the oldest go first

_REJECTED = {
    Reason.VERSION: Oddity.VERSION,
    Reason.HOP_LIMIT: Oddity.HOP_LIMIT,
    Reason.CHECKSUM: Oddity.CHECKSUM,
}
_HEADER_SIZE, _AUTHENTICATION_SIZE = 8, 8
_NONE, _PASS, _AH = 0, 1, 2  # the authentication types, RFC 2338 section 5.3.6


def oddity(reason: Reason) -> Oddity | None:
    """What a rejected packet says about its sender, who uses our VRID; None: nothing."""
    return _REJECTED.get(reason)


def differences(advert: Advert, instances: Iterable[InstanceConfig]) -> frozenset[Oddity]:
    """In what an advert differs from what ours would send. `instances` are those of its VRID."""
    family = advert.source.version
    ours = [i for i in instances if i.version == advert.version]
    instance = next((i for i in ours if _family(i) == family), ours[0] if ours else None)
    if instance is None:
        return frozenset({Oddity.VERSION})
    found = set()
    if instance.advert_int != advert.advert_int:
        found.add(Oddity.ADVERT_INT)
    if _configured(instance) != _listed(advert):
        found.add(Oddity.VIRTUAL_ADDRESSES)
    if advert.version == 2 and instance.authentication != _authentication(advert):
        found.add(Oddity.AUTHENTICATION)
    return frozenset(found)


def _family(instance: InstanceConfig) -> int | None:
    return next((v.address.version for v in instance.virtual_addresses if not v.excluded), None)


def _configured(instance: InstanceConfig) -> frozenset[IPAddress]:
    return frozenset(v.address.ip for v in instance.virtual_addresses if not v.excluded)


def _listed(advert: Advert) -> frozenset[IPAddress]:
    size = len(advert.source.packed)
    start, count = _HEADER_SIZE, advert.message[3]
    return frozenset(
        ip_address(advert.message[at : at + size])
        for at in range(start, start + count * size, size)
    )


def _authentication(advert: Advert) -> str:
    kind = advert.message[4]
    if kind == _AH:
        return AH
    return password(advert.message[-_AUTHENTICATION_SIZE:]) if kind == _PASS else ""


@dataclass(slots=True)
class Oddities:
    """The latest of each router, interface and source."""

    _of: dict[str, dict[tuple[str, IPAddress], OddAdvert]] = field(default_factory=dict)

    def note(self, router: str, odd: OddAdvert) -> None:
        known = self._of.setdefault(router, {})
        known.pop((odd.interface, odd.source), None)
        known[odd.interface, odd.source] = odd
        if len(known) > MOST:
            del known[next(iter(known))]

    def forget(self, router: str) -> None:
        self._of.pop(router, None)

    def all(self) -> dict[str, tuple[OddAdvert, ...]]:
        """By router, the oldest first."""
        return {router: tuple(known.values()) for router, known in self._of.items()}
