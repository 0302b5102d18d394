"""Every key of the configuration file: its type, and what is said when a value does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from havrrpd.core.model import IPAddress

T = TypeVar("T")

_DAY = 86400.0
_Seconds = Annotated[float, Meta(gt=0, le=_DAY)]
_SecondsOrZero = Annotated[float, Meta(ge=0, le=_DAY)]
_Count = Annotated[int, Meta(ge=1, le=1000)]
_BufferSize = Annotated[int, Meta(ge=4096, le=1 << 30)]
_Name = Annotated[str, Meta(pattern=r"^[^\s/\x00-\x1f]+$")]
_NameOrEmpty = Annotated[str, Meta(pattern=r"^[^\s/\x00-\x1f]*$")]
_Interface = Annotated[str, Meta(pattern=r"^[^\s/]{1,15}\Z")]
_Path = Annotated[str, Meta(pattern=r"^/[^\x00]*$")]
_Connections = Annotated[int, Meta(ge=1, le=10_000)]
_Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
_PathOrEmpty = Annotated[str, Meta(pattern=r"^(/[^\x00]*)?$")]
_BCRYPT = r"\$2[aby]\$1[0-4]\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}"


@dataclass(frozen=True, slots=True, order=True)
class Listen:
    """Where the read-only web server listens: an IP address and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def public(self) -> bool:
        return not ip_address(self.host).is_loopback


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the type that its value must convert to, in words too, and a further reading."""

    kind: Any
    must: str
    read: Callable[[Any], Any] | None = None  # raises ValueError: then `must` was not met
    shown: Callable[[Any], str] | None = None  # what was given, where it is not to be shown whole

    def convert(self, value: object) -> Any:
        """The value as the record holds it; raises ValueError when it does not fit."""
        converted = msgspec.convert(value, self.kind)  # its ValidationError is a ValueError
        return converted if self.read is None else self.read(converted)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) != len(values):
        raise ValueError("given twice")
    return values


def _some_methods(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("none given")
    return _distinct(values)


def _gateways(values: tuple[str, ...]) -> tuple[IPAddress, ...]:
    addresses = _distinct(tuple(ip_address(value) for value in values))
    if any(not _can_be_next_hop(address) for address in addresses):
        raise ValueError("no next hop")
    return addresses


def _can_be_next_hop(address: IPAddress) -> bool:
    return not (address.is_unspecified or address.is_multicast or address.is_loopback)


def read_listen(text: str) -> Listen:
    """ADDRESS:PORT, an IPv6 address in brackets, or localhost; raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65535:
        raise ValueError("no port")
    if host == "localhost":
        return Listen("127.0.0.1", int(port))
    bracketed = host.startswith("[") and host.endswith("]")
    address = ip_address(host[1:-1] if bracketed else host)
    if bracketed != (address.version == 6):
        raise ValueError("brackets are for IPv6")
    return Listen(str(address), int(port))


def _users(hashes: dict[str, str]) -> dict[str, str]:
    if any(not _is_user(user, hashed) for user, hashed in hashes.items()):
        raise ValueError("no user or no hash")
    return hashes


def _is_user(name: object, hashed: object) -> bool:
    """RFC 7617: a name has no colon. A cheaper hash is soon guessed, a dearer one takes seconds."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"[^:\x00-\x1f]+", name) is not None
        and isinstance(hashed, str)
        and re.fullmatch(_BCRYPT, hashed) is not None
    )


def _wrong_users(value: object) -> str:
    """Their names: hashes stay out of logs."""
    if not isinstance(value, dict):
        return "no table"
    names = (repr(name) for name, hashed in value.items() if not _is_user(name, hashed))
    return f"something else for {', '.join(names)}"


_PATH_WORDS = "must be an absolute path"
_SECONDS_WORDS = "must be a number of seconds above 0, at most 86400"
_ZERO_WORDS = "must be a number of seconds, from 0 to 86400"
_COUNT_WORDS = "must be a whole number from 1 to 1000"
_BOOL_WORDS = "must be true or false"
_CONNECTIONS_WORDS = "must be a whole number from 1 to 10000"

HEALTH_CHECK: Mapping[str, Key] = {
    "interval": Key(_SecondsOrZero, f"{_ZERO_WORDS} (0: gateways are not checked)"),
    "timeout": Key(_Seconds, _SECONDS_WORDS),
    "fall": Key(_Count, _COUNT_WORDS),
    "rise": Key(_Count, _COUNT_WORDS),
    "retry_interval": Key(_Seconds, _SECONDS_WORDS),
    "methods": Key(
        tuple[Literal["arp", "icmp"], ...],
        'must be a list of one or both of "arp" (for IPv6 it means NDP) and "icmp"',
        _some_methods,
    ),
    "require": Key(Literal["all", "any"], 'must be "all" or "any"'),
    "uplinks": Key(
        tuple[_Interface, ...],
        "must be a list of different interface names, each of 1 to 15 characters without spaces "
        "or slashes",
        _distinct,
    ),
}

SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "node": {
        "name": Key(_NameOrEmpty, 'must be a name without spaces or slashes ("": the host name)'),
    },
    "discovery": {
        "interval": Key(_Seconds, _SECONDS_WORDS),
        "netns_dir": Key(_Path, _PATH_WORDS),
        "receive_buffer": Key(_BufferSize, "must be a number of bytes from 4096 to 1073741824"),
    },
    "health_check": HEALTH_CHECK,
    "election": {
        "observe_only": Key(bool, _BOOL_WORDS),
        "max_dwell": Key(_Seconds, _SECONDS_WORDS),
        "settle": Key(_SecondsOrZero, _ZERO_WORDS),
    },
    "paths": {
        "notify_dir": Key(_Path, _PATH_WORDS),
        "lever_dir": Key(_Path, _PATH_WORDS),
        "socket": Key(_Path, _PATH_WORDS),
        "state_dir": Key(_Path, _PATH_WORDS),
    },
    "web": {
        "listen": Key(
            str, 'must be an IP address and a port such as "127.0.0.1:9912"', read_listen
        ),
        "tls_certificate": Key(_PathOrEmpty, f'{_PATH_WORDS} ("": no TLS)'),
        "tls_key": Key(_PathOrEmpty, f'{_PATH_WORDS} ("": no TLS)'),
        "basic_auth_users": Key(
            dict[str, str],
            "must be a table of user = bcrypt hash of cost 10 to 14, as havrrpd config "
            "hash-password prints it",
            _users,
            _wrong_users,
        ),
        "allow_public": Key(bool, _BOOL_WORDS),
        "max_connections": Key(_Connections, _CONNECTIONS_WORDS),
        "max_connections_per_client": Key(_Connections, _CONNECTIONS_WORDS),
        "max_requests_per_second": Key(_Rate, "must be a number above 0, at most 1000000"),
    },
    "log": {
        "level": Key(
            Literal["debug", "info", "warning", "error"],
            'must be "debug", "info", "warning" or "error"',
        ),
        "format": Key(Literal["auto", "json", "console"], 'must be "auto", "json" or "console"'),
    },
}

ROUTER: Mapping[str, Key] = {
    "match": Key(
        Annotated[str, Meta(pattern=r"\S")], "must be a glob on a router's id or namespace"
    ),
    "keepalived_conf": Key(_Path, _PATH_WORDS),
    "namespace": Key(_Name, "must be the name of a network namespace"),
    "gateways": Key(
        tuple[str, ...], "must be a list of different IP addresses of next hops", _gateways
    ),
    **HEALTH_CHECK,
}
