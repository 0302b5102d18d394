"""What was seen of a node. Every rule is a function of this. None: it could not be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from havrrpd.config import Config
from havrrpd.core.model import KeepalivedConfig

Version = tuple[int, int, int]
FileId = tuple[int, int]  # device and inode
Json = dict[str, Any]


class Is(StrEnum):
    """What is at a path."""

    FILE = "file"
    FIFO = "fifo"
    LINK = "symbolic link"
    DIRECTORY = "directory"
    OTHER = "something else"
    MISSING = "missing"


class Lever(Struct, frozen=True):
    """A track file of ours, as its keepalived sees it."""

    path: str
    directory: FileId | None  # None: it is not there
    watched: bool | None  # keepalived watches that very directory
    holds: Is  # what is at the path
    shared: bool | None  # havrrpd finds the same directory there


class Fifo(Struct, frozen=True):
    """A notify FIFO, as its keepalived sees it."""

    path: str
    directory: bool  # is there
    holds: Is
    id: FileId | None = None
    owner: int | None = None
    user: int | None = None  # the uid of the user that the configuration names behind the path
    open: bool | None = None  # in keepalived
    shared: bool | None = None  # havrrpd finds the same directory there


class Keepalived(Struct, frozen=True, kw_only=True):
    """A keepalived that runs VRRP, as /proc shows it."""

    pid: int
    router: str
    namespace: str | None
    config: KeepalivedConfig
    age: float  # seconds
    version: Version | None
    replaced: bool = False  # another executable is on the disk by now
    watches_files: bool | None = None  # has an inotify descriptor at all
    levers: tuple[Lever, ...] = ()
    fifo: Fifo | None = None
    links: Mapping[str, str] = field(default_factory=dict)  # interface -> what it is plugged into
    private_tmp: bool = False
    script_user: bool = True  # there is a user keepalived_script
    serial_log: str | None = None  # the serial console that its lines go to


class Daemon(Struct, frozen=True):
    """havrrpd itself."""

    status: Json | None = None  # of /status
    error: str | None = None  # why there is none
    denied: bool = False  # for want of a permission of ours
    running: tuple[int, ...] = ()  # processes that look like it
    pid: int | None = None  # of the one that answers
    capabilities: int | None = None  # a bit mask
    descriptors: tuple[int, int] | None = None  # open, and how many may be
    sees_our_network: bool | None = None  # is in the network namespace of the doctor


class Directory(Struct, frozen=True):
    """One that keepalived and havrrpd meet in."""

    path: str
    there: bool
    at_boot: bool  # is made again after a boot


class Neighbours(Struct, frozen=True):
    """The kernel's neighbour table of one family, for all namespaces together."""

    limit: int
    refused: int  # since the boot, as it was full


class Kernel(Struct, frozen=True):
    inotify_limit: int | None = None  # instances of one user
    inotify_used: int | None = None  # by root
    neighbours: Mapping[str, Neighbours] = field(default_factory=dict)  # by "ipv4", "ipv6"
    interfaces: frozenset[str] | None = None  # of the namespace that the doctor is in


class Neutron(Struct, frozen=True):
    l2_population: tuple[str, ...] = ()  # the files that switch it on for the Linux bridge agent
    monitors: int = 0  # of keepalived's state, that run
    unread: tuple[str, ...] = ()


class Facts(Struct, frozen=True, kw_only=True):
    config: Config
    config_problems: tuple[str, ...] = ()  # then `config` is all defaults
    as_root: bool = True
    daemon: Daemon = field(default_factory=Daemon)
    keepalived: tuple[Keepalived, ...] = ()
    installed: bool = True  # there is a keepalived to start
    directories: tuple[Directory, ...] = ()
    drained_for: float | None = None  # seconds; None: the node is not drained
    kernel: Kernel = field(default_factory=Kernel)
    neutron: Neutron = field(default_factory=Neutron)
    version: str = ""  # of the doctor's own havrrpd

    @property
    def routers(self) -> list[Json]:
        """As the daemon shows them; none when it does not answer."""
        return [] if self.daemon.status is None else list(self.daemon.status["routers"])

    def instances(self) -> Iterator[tuple[Json, Json]]:
        """Every router and each of its instances, as the daemon shows them."""
        for router in self.routers:
            for instance in router["instances"]:
                yield router, instance
