"""Every keepalived that runs VRRP, found and read as havrrpd does it, and also without havrrpd."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from havrrpd.config import Config
from havrrpd.core.lever import our_track_files
from havrrpd.core.model import KeepalivedConfig
from havrrpd.doctor.facts import Daemon, Fifo, Keepalived, Version
from havrrpd.doctor.looking import links, places
from havrrpd.sources.keepalived.loaded import locate, namespaces
from havrrpd.sources.keepalived.proc import Proc
from havrrpd.sources.keepalived.routers import name_router

_VERSION = re.compile(rb"Keepalived v(\d+)\.(\d+)\.(\d+)")
_SYSLOG = "dev/log"
_CONSOLE = (5, 1)  # major and minor of the real one; null can be mounted over it


def look(config: Config, daemon: Daemon) -> tuple[Keepalived, ...]:
    """Those that can be looked at: none without being root. One that ends meanwhile is left out."""
    if os.geteuid() != 0:
        return ()
    looker = _Looker(config, daemon)
    return tuple(sorted(looker.all(), key=lambda each: (each.router, each.pid)))


@dataclass(slots=True)
class _Looker:
    config: Config
    daemon: Daemon
    known: dict[int, str] = field(init=False)  # by havrrpd, which numbers what has the same name
    proc: Proc = field(default_factory=lambda: Proc(Path("/proc")))
    names: Mapping[tuple[int, int], str] = field(init=False)
    ports: Mapping[int, links.Port] = field(init=False)
    consoles: str | None = field(init=False)
    versions: dict[tuple[int, int], Version | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        status = self.daemon.status or {"routers": ()}
        self.known = {each["pid"]: each["router"] for each in status["routers"] if each["pid"]}
        self.names = dict(namespaces(Path(self.config.discovery.netns_dir)))
        self.ports = links.ports()
        self.consoles = serial_console()

    def all(self) -> Iterator[Keepalived]:
        for pid in self.proc.pids():
            with suppress(OSError, ValueError):  # it ended
                if not (self.proc.runs_keepalived(pid) and self.proc.is_trusted(pid)):
                    continue
                main = self.proc.keepalived_parent(pid)
                if self.proc.is_vrrp(pid, main):
                    yield self._examine(pid, main)

    def _examine(self, pid: int, main: int | None) -> Keepalived:
        """Raises OSError when it is gone."""
        loaded = locate(self.proc, pid, main)
        read = loaded.read()
        netns = self.proc.netns(pid)
        namespace = self._namespace(netns)
        router = self.known.get(pid) or name_router(namespace, loaded.path)
        root = Path(f"/proc/{pid}/root")
        watches = places.inotify(pid)
        return Keepalived(
            pid=pid,
            router=router,
            namespace=namespace,
            config=read,
            age=time.monotonic() - self.proc.started_at(pid),
            version=self._version(pid),
            replaced=os.readlink(f"/proc/{pid}/exe").endswith(" (deleted)"),
            watches_files=None if watches is None else watches[0],
            levers=tuple(
                places.lever(path, root, watches and watches[1], self._havrrpd)
                for path in self._lever_paths(router, read)
            ),
            fifo=self._fifo(pid, read, root),
            links={
                each.interface: links.link_of(each.interface, root / "sys", netns[1], self.ports)
                for each in read.instances
            },
            private_tmp=_differs(root / "tmp", Path("/tmp")),
            script_user=_uid_of("keepalived_script", root) is not None,
            serial_log=self._serial_log(pid, root),
        )

    @property
    def _havrrpd(self) -> Path | None:
        return Path(f"/proc/{self.daemon.pid}/root") if self.daemon.pid else None

    def _namespace(self, netns: tuple[int, int]) -> str | None:
        """None for our own, as havrrpd has it."""
        if netns == self.proc.netns("self"):
            return None
        return self.names.get(netns, f"net:[{netns[1]}]")

    def _lever_paths(self, router: str, config: KeepalivedConfig) -> list[str]:
        ours = our_track_files(router, config, self.config.paths.lever_dir)
        return sorted({file.path for file in ours.values()})

    def _fifo(self, pid: int, config: KeepalivedConfig, root: Path) -> Fifo | None:
        if config.notify_fifo is None:
            return None
        user = config.notify_fifo_user
        uid = None if user is None else _uid_of(user, root)
        return places.fifo(config.notify_fifo, uid, root, pid, self._havrrpd)

    def _version(self, pid: int) -> Version | None:
        executable = Path(f"/proc/{pid}/exe")
        found = executable.stat()
        key = found.st_dev, found.st_ino
        if key not in self.versions:
            self.versions[key] = read_version(executable.read_bytes())
        return self.versions[key]

    def _serial_log(self, pid: int, root: Path) -> str | None:
        logs = self.proc.command_line(pid).log_console
        return self.consoles if logs and writes_to_console(root) else None


def writes_to_console(root: Path) -> bool:
    """Whether syslog(3) with LOG_CONS, which -l asks for, does: there is no log to write to."""
    if os.path.lexists(root / _SYSLOG):
        return False
    try:
        console = os.stat(root / "dev/console").st_rdev
    except OSError:
        return False
    return (os.major(console), os.minor(console)) == _CONSOLE


def read_version(executable: bytes) -> Version | None:
    """From the text in it that --version prints: Keepalived v2.2.7 (01/16,2022). Not started."""
    found = _VERSION.search(executable)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def serial_console(active: Path = Path("/sys/class/tty/console/active")) -> str | None:
    """The serial port behind /dev/console: the last of the consoles that are active."""
    try:
        last = active.read_text().split()[-1]
    except (OSError, IndexError):
        return None
    return last if re.match(r"tty(S|AMA|USB|SAC)\d", last) else None


def _differs(one: Path, other: Path) -> bool:
    try:
        first, second = one.stat(), other.stat()
    except OSError:
        return False
    return (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino)


def _uid_of(user: str, root: Path) -> int | None:
    """From the password file that keepalived sees."""
    try:
        lines = (root / "etc/passwd").read_text(errors="replace").splitlines()
    except OSError:
        return None
    rows = (line.split(":") for line in lines)
    return next((int(row[2]) for row in rows if row[0] == user and len(row) > 2), None)
