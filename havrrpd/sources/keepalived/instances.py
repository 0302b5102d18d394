"""A vrrp_instance block -> InstanceConfig, with the defaults that keepalived fills in. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from havrrpd.core.authentication import AH, password
from havrrpd.core.model import (
    InstanceConfig,
    IPAddress,
    VirtualAddress,
    VirtualRoute,
)
from havrrpd.sources.keepalived import keywords
from havrrpd.sources.keepalived.addresses import (
    read_address,
    read_interface,
    read_ip,
    read_routes,
)
from havrrpd.sources.keepalived.blocks import Statement, Tolerant

OWNER = 255  # the priority of the address owner, RFC 9568 section 5.2.4
DEFAULT_PRIORITY = 100
MAX_ADVERT_INT = {2: 255.0, 3: 40.95}
_NUMBER = re.compile(r"-?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Globals:
    """What global_defs says about every instance."""

    version: int = 2
    strict: bool = False


@dataclass(slots=True)
class Draft(Tolerant):
    """An instance while its block is read: None is what was not said."""

    name: str
    vrid: int | None = None
    interface: str | None = None
    state: str | None = None
    priority: int | None = None
    version: int | None = None
    advert_int: float = 1.0
    preempt: bool = True
    family: int | None = None
    vmac: str | None = None  # "" for the name that keepalived makes up
    strict: bool | None = None
    addresses: list[VirtualAddress] = field(default_factory=list)  # without `dev`: on ""
    routes: list[VirtualRoute] = field(default_factory=list)
    peers: list[IPAddress] = field(default_factory=list)
    track_files: list[tuple[str, int | None]] = field(default_factory=list)
    track_scripts: list[str] = field(default_factory=list)
    auth_type: str | None = None
    auth_pass: str = ""

    def take(self, statement: Statement) -> None:
        """Raises ValueError for a value that is none."""
        value = statement.value or ""
        match statement.keyword:
            case "state":
                self.state = "MASTER" if "MASTER" in (value, self.state) else "BACKUP"
            case "interface":
                self.interface = read_interface(value)
            case "virtual_router_id":
                self.vrid = _integer(value, 1, 255)
            case "priority":
                self.priority = DEFAULT_PRIORITY
                self.priority = _integer(value, 1, OWNER)
            case "version":
                self._take_version(_integer(value, 2, 3))
            case "advert_int":
                self.advert_int = _seconds(value)
            case "preempt" | "nopreempt":
                self.preempt = statement.keyword == "preempt"
            case "native_ipv6":
                self.family = 6
            case "use_vmac" | "use_ipvlan":
                self.vmac = ""
                if name := next((word for word in statement.words[1:] if _is_name(word)), ""):
                    self.vmac = read_interface(name)
            case "strict_mode":
                self.strict = value not in ("off", "false", "no")
            case "virtual_ipaddress":
                self._each(statement, lambda line: self._take_address(line, excluded=False))
            case "virtual_ipaddress_excluded":
                self._each(statement, lambda line: self._take_address(line, excluded=True))
            case "virtual_routes":
                self._each(statement, lambda line: self.routes.extend(read_routes(line.words)))
            case "unicast_peer":
                self._each(statement, self._take_peer)
            case "track_file":
                self._each(statement, self._take_track_file)
            case "track_script":
                self._each(statement, lambda line: self.track_scripts.append(line.keyword))
            case "authentication":
                self._each(statement, self._take_authentication)
            case keyword:
                self.skipped += keyword not in keywords.INSTANCE

    def _each(self, statement: Statement, take: Callable[[Statement], None]) -> None:
        for line in statement.block:
            self.attempt(take, line)

    def _take_version(self, version: int) -> None:
        if (self.version or version) != version or (version == 2 and self.family == 6):
            raise ValueError("a second version")
        self.version = version

    def _take_address(self, line: Statement, *, excluded: bool) -> None:
        virtual = read_address(line.words, excluded=excluded)
        if not excluded:
            self._keep_family(virtual.address.version)
        self.addresses.append(virtual)

    def _take_peer(self, line: Statement) -> None:
        peer = read_ip(line.keyword)
        self._keep_family(peer.version)
        self.peers.append(peer)

    def _keep_family(self, family: int) -> None:
        """The first address decides; one of the other family is not taken."""
        self.family = self.family or family
        if family != self.family:
            raise ValueError("another family")

    def _take_track_file(self, line: Statement) -> None:
        self.track_files.append(read_track_file(line))

    def _take_authentication(self, line: Statement) -> None:
        match line.keyword:
            case "auth_type":
                self.auth_type = line.value
            case "auth_pass":
                self.auth_pass = line.value or ""
            case keyword:
                raise ValueError(f"unknown word: {keyword}")


def read_track_file(line: Statement) -> tuple[str, int | None]:
    """A line of an instance's or sync group's track_file: `NAME [weight W [reverse]]`."""
    match line.words:
        case (name,):
            return name, None
        case (name, "weight", weight, *direction):
            return name, signed_weight(weight, direction)
    raise ValueError("not a track file")


def read_init_file(options: Sequence[str]) -> tuple[int, bool]:
    """The words behind init_file, in any order: the value (0 unless given), and `overwrite`."""
    values = [int(word) for word in options if _NUMBER.fullmatch(word)]
    return (values[0] if values else 0), "overwrite" in options


def signed_weight(weight: str, direction: Sequence[str]) -> int:
    """`reverse` turns the effect round."""
    return _integer(weight, -254, 254) * (-1 if "reverse" in direction else 1)


def complete(
    draft: Draft,
    settings: Globals,
    sync_group: str | None,
) -> InstanceConfig:
    """Raises ValueError for an instance that keepalived leaves out."""
    if draft.vrid is None or draft.interface is None:
        raise ValueError("neither interface nor virtual_router_id can be left out")
    strict = settings.strict if draft.strict is None else draft.strict
    ipv6 = draft.family == 6
    version = draft.version or (3 if ipv6 else settings.version)
    if ipv6 and strict:
        version = 3
    priority = draft.priority or (OWNER if draft.state == "MASTER" else DEFAULT_PRIORITY)
    starts_as_master = draft.state == "MASTER" or (draft.state is None and priority == OWNER)
    carrier = draft.interface
    if draft.vmac is not None:
        carrier = draft.vmac or f"vrrp.{draft.vrid}"
    addresses = [
        each if each.interface else replace(each, interface=carrier) for each in draft.addresses
    ]
    if version == 3 and all(address.excluded for address in addresses):
        raise ValueError("VRRPv3 needs a virtual address")
    return InstanceConfig(
        name=draft.name,
        vrid=draft.vrid,
        interface=draft.interface,
        priority=priority,
        version=version,
        advert_int=_rounded(draft.advert_int, version),
        preempt=draft.preempt or starts_as_master or priority == OWNER,
        virtual_addresses=_in_order(addresses),
        virtual_routes=tuple(draft.routes),
        unicast_peers=tuple(draft.peers),
        track_files=tuple(draft.track_files),
        track_scripts=tuple(draft.track_scripts),
        sync_group=sync_group,
        authentication=_authentication(draft) if version == 2 else "",
    )


def _authentication(draft: Draft) -> str:
    """keepalived sends the first 8 characters of the password (keepalived.conf(5), auth_pass)."""
    if draft.auth_type == "AH":
        return AH
    if draft.auth_type == "PASS":
        return password(draft.auth_pass.encode())
    return ""


def _in_order(addresses: Sequence[VirtualAddress]) -> tuple[VirtualAddress, ...]:
    """The advertised ones first, as keepalived adds them."""
    return tuple(sorted(addresses, key=lambda address: address.excluded))


def _integer(text: str, low: int, high: int) -> int:
    if not text.isascii() or len(text) > 6:
        raise ValueError(text)
    number = int(text)
    if not low <= number <= high:
        raise ValueError(f"not from {low} to {high}: {text}")
    return number


def _seconds(text: str) -> float:
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        raise ValueError(text)
    seconds = float(text)
    if not 0.01 <= seconds <= 255:
        raise ValueError(f"not from 0.01 to 255 seconds: {text}")
    return seconds


def _rounded(advert_int: float, version: int) -> float:
    """Version 2 sends whole seconds, version 3 hundredths in 12 bits."""
    unit = 1 if version == 2 else 100
    rounded = int(advert_int * unit + 0.5 + 1e-9) / unit
    return min(max(rounded, 1 / unit), MAX_ADVERT_INT[version])


def _is_name(word: str) -> bool:
    """Not a MAC address, and not what can follow use_ipvlan."""
    if ":" in word or word in ("bridge", "private", "vepa"):
        return False
    try:
        read_ip(word.partition("/")[0])
    except ValueError:
        return True
    return False
