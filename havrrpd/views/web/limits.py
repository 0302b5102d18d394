"""How much one client may ask, and all clients together. Pure: time is an argument."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address

_PRUNE_ABOVE = 1024  # clients that are remembered before those that were quiet are looked for


class Refusal(StrEnum):
    """Why a client was refused: the label of havrrpd_web_refused_total."""

    CONNECTIONS = "connections"  # too many of all clients
    CLIENT_CONNECTIONS = "client_connections"  # too many of this one
    CLIENT_RATE = "client_rate"
    CREDENTIALS = "credentials"
    HANDSHAKE = "handshake"  # of TLS: it failed, or took too long
    MALFORMED = "malformed"  # no HTTP
    TOO_LARGE = "too_large"
    SLOW_REQUEST = "slow_request"
    SLOW_READER = "slow_reader"


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are in seconds."""

    connections: int = 128
    client_connections: int = 16
    client_rate: float = 20.0  # requests a second, and new connections a second
    request_timeout: float = 10.0  # from a request's first byte to the end of its headers
    idle_timeout: float = 75.0  # until the next request comes
    write_timeout: float = 30.0  # until the client took a whole answer


def client_of(address: str) -> str:
    """Whom to count an address for: an IPv6 client can have all addresses of its /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address  # of a Unix socket: it has none
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or int(ip) >> 64)
    return str(ip)


class Connections:
    """How many each client has open."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return self._of.total()

    def refusal(self, client: str, limits: Limits) -> Refusal | None:
        if self.total >= limits.connections:
            return Refusal.CONNECTIONS
        if self._of[client] >= limits.client_connections:
            return Refusal.CLIENT_CONNECTIONS
        return None

    def enter(self, client: str) -> None:
        self._of[client] += 1

    def leave(self, client: str) -> None:
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]


class Rate:
    """So many a second of each client on average, and a second's worth of them at once.

    A token bucket, kept as the moment at which it is full again: a client with a full one is
    forgotten.
    """

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def take(self, client: str, per_second: float, now: float) -> bool:
        """False when this one would be too many; it does not count then."""
        full_at = max(self._full_at.get(client, now), now) + 1 / per_second
        if full_at - now > max(1.0, 1 / per_second) + 1e-9:
            return False
        if len(self._full_at) >= _PRUNE_ABOVE:
            self._full_at = {c: at for c, at in self._full_at.items() if at > now}
        self._full_at[client] = full_at
        return True
