"""How the doctor reads what it judges: real files, and trees laid out as the kernel does."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import Error
from contextlib import contextmanager
from pathlib import Path

import pytest

from havrrpd.doctor.facts import Fifo, Is, Lever
from havrrpd.doctor.looking import is_made_at_boot, kernel, links, neutron, places
from havrrpd.doctor.looking.daemon import is_havrrpd, look
from havrrpd.doctor.looking.keepalived import read_version, serial_console

KEEPALIVED = Path("/usr/sbin/keepalived")


# --- keepalived ---


@pytest.mark.parametrize(
    ("executable", "version"),
    [
        (b"\0Keepalived v2.2.7 (01/16,2022)\0", (2, 2, 7)),
        (b"\x7fELF\0Keepalived v1.2.13 (05/28,2014)\n\0Keepalived", (1, 2, 13)),
        (b"\0Keepalived v2.4.3 (", (2, 4, 3)),
        (b"\x7fELF\0Keepalived\0", None),
    ],
)
def test_the_version_is_read_without_starting_anything(
    executable: bytes, version: tuple[int, int, int] | None
) -> None:
    assert read_version(executable) == version


def test_the_version_in_the_executable_is_the_one_that_it_tells() -> None:
    said = subprocess.run([KEEPALIVED, "--version"], capture_output=True, check=True, timeout=5)
    version = read_version(KEEPALIVED.read_bytes())
    assert version is not None
    assert b"Keepalived v%d.%d.%d " % version in said.stderr + said.stdout


@pytest.mark.parametrize(
    ("active", "console"),
    [("tty0 ttyS0\n", "ttyS0"), ("ttyS0 tty0\n", None), ("ttyAMA0\n", "ttyAMA0"), ("\n", None)],
)
def test_the_console_is_the_last_one_that_is_active(
    tmp_path: Path, active: str, console: str | None
) -> None:
    (tmp_path / "active").write_text(active)
    assert serial_console(tmp_path / "active") == console
    assert serial_console(tmp_path / "none") is None


# --- its files ---


@contextmanager
def watching(directory: Path) -> Iterator[int]:
    """A descriptor that watches a directory, inotify(7)."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_CLOEXEC)
    assert descriptor >= 0
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(directory), 0x8) >= 0
        yield descriptor
    finally:
        os.close(descriptor)


def test_it_is_known_which_directory_a_process_watches(tmp_path: Path) -> None:
    levers = tmp_path / "levers"
    levers.mkdir()
    with watching(levers):
        watched = places.inotify(os.getpid())
        assert watched is not None
        assert watched[0]
        assert levers.stat().st_ino in watched[1]
        levers.rename(tmp_path / "gone")
        levers.mkdir()
        again = places.inotify(os.getpid())
        assert again is not None
        assert levers.stat().st_ino not in again[1]


def test_a_process_without_inotify_watches_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        try:
            assert places.inotify(sleeper.pid) == (False, frozenset())
        finally:
            sleeper.kill()


def test_a_process_that_is_gone_can_not_be_asked() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert places.inotify(gone.pid) is None


def test_a_lever_is_seen_with_the_eyes_of_its_keepalived(tmp_path: Path) -> None:
    """The paths of the configuration are within its root; havrrpd has another one."""
    for root in ("keepalived", "havrrpd"):
        (tmp_path / root / "levers").mkdir(parents=True)
    theirs, ours = tmp_path / "keepalived", tmp_path / "havrrpd"
    (theirs / "levers/a").write_text("0\n")
    info = (theirs / "levers").stat()
    own = (info.st_dev, info.st_ino)
    watched = frozenset({info.st_ino})
    assert places.lever("/levers/a", theirs, watched, theirs) == Lever(
        "/levers/a", own, True, Is.FILE, True
    )
    assert places.lever("/levers/b", theirs, frozenset(), ours) == Lever(
        "/levers/b", own, False, Is.MISSING, False
    )
    assert places.lever("/none/a", theirs, watched, ours) == Lever(
        "/none/a", None, None, Is.MISSING, None
    )


def test_a_fifo_is_told_from_what_is_none_and_from_one_that_is_not_open(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    root, pid = Path("/"), os.getpid()
    os.mkfifo(path)
    info = path.stat()
    closed = places.fifo(str(path), 7, root, pid, root)
    own = (info.st_dev, info.st_ino)
    assert closed == Fifo(str(path), True, Is.FIFO, own, os.geteuid(), 7, False, True)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        assert places.fifo(str(path), 7, root, pid, root).open
    finally:
        os.close(descriptor)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert places.fifo(str(link), None, root, pid, None).holds is Is.LINK
    assert places.fifo("/nowhere/a", None, root, pid, None) == Fifo("/nowhere/a", False, Is.MISSING)


# --- what interfaces are plugged into ---


def interface(sys: Path, name: str, index: int, peer: int, bridge: str | None = None) -> None:
    folder = sys / "class/net" / name
    folder.mkdir(parents=True)
    (folder / "ifindex").write_text(f"{index}\n")
    (folder / "iflink").write_text(f"{peer}\n")
    if bridge is not None:
        (folder / "master").symlink_to(f"../{bridge}")


def test_two_interfaces_on_one_bridge_are_on_one_link(tmp_path: Path) -> None:
    host, a, b, c = (tmp_path / name for name in ("host", "a", "b", "c"))
    interface(host, "tap1", 11, 3, "brq1")
    interface(host, "tap2", 12, 4, "brq1")
    interface(host, "tap3", 13, 3)
    interface(a, "ha-0", 3, 11)
    interface(b, "ha-0", 4, 12)
    interface(c, "ha-0", 3, 13)
    interface(c, "ha-9", 9, 11)
    ours = links.ports(host)
    assert links.link_of("ha-0", a, 1, ours) == "bridge brq1"
    assert links.link_of("ha-0", b, 2, ours) == "bridge brq1"
    assert links.link_of("ha-0", c, 3, ours) == "ha-0 in net:[3]"
    assert links.link_of("ha-9", c, 3, ours) == "ha-9 in net:[3]"
    assert links.link_of("none", c, 3, ours) == "none in net:[3]"


# --- havrrpd ---


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/bin/python3 /usr/bin/havrrpd run", True),
        ("python -m havrrpd run --config /etc/x.toml", True),
        ("havrrpd --socket /s run", True),
        ("havrrpd doctor", False),
        ("vi /etc/havrrpd/havrrpd.toml run", False),
        ("", False),
    ],
)
def test_a_havrrpd_is_known_by_its_command_line(command: str, expected: bool) -> None:
    assert is_havrrpd(command.split(" ")) is expected


def test_a_socket_that_nobody_answers_on_is_named_with_the_reason(tmp_path: Path) -> None:
    seen = look(str(tmp_path / "s"))
    assert (seen.status, seen.denied) == (None, False)
    assert seen.error == f"no answer on {tmp_path}/s: no such file or directory"
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(str(tmp_path / "s"))
        assert look(str(tmp_path / "s")).error == f"no answer on {tmp_path}/s: connection refused"


@pytest.mark.root
@pytest.mark.parametrize(("elsewhere", "seen"), [([], True), (["unshare", "--net"], False)])
def test_a_havrrpd_in_another_network_is_another_nodes(
    tmp_path: Path, elsewhere: list[str], seen: bool
) -> None:
    command = tmp_path / "havrrpd"
    command.write_text("import sys\nprint('here', flush=True)\nsys.stdin.read()\n")
    with subprocess.Popen(
        [*elsewhere, sys.executable, str(command), "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"here\n"
        assert (process.pid in look(str(tmp_path / "s")).running) is seen
        process.stdin.close()


# --- the node ---


def test_only_what_a_boot_removes_has_to_be_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "tmpfiles.d"
    folder.mkdir()
    (folder / "havrrpd.conf").write_text("# d /run/other\nd /run/havrrpd/levers 0755 root root -\n")
    roots = (str(tmp_path / "none"), str(tmp_path))
    assert is_made_at_boot("/run/havrrpd/levers", roots)
    assert is_made_at_boot("/run/havrrpd/levers/", roots)
    assert not is_made_at_boot("/run/other", roots)
    assert is_made_at_boot("/var/lib/levers", roots)


def test_the_kernel_tells_how_many_neighbours_it_refused() -> None:
    heads = "entries  allocs   table_fulls\n"
    assert (
        kernel.count_refused(f"{heads}00000001 00000002 0000000a\n00000001 00000002 00000001\n")
        == 11
    )
    assert kernel.count_refused("entries allocs\n00000001 00000002\n") == 0


def test_limits_are_read_where_the_kernel_shows_them(tmp_path: Path) -> None:
    for name, text in {
        "sys/fs/inotify/max_user_instances": "128\n",
        "sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
        "net/stat/arp_cache": "entries table_fulls\n00000001 00000002\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    seen = kernel.look(tmp_path)
    assert seen.inotify_limit == 128
    assert {family: (t.limit, t.refused) for family, t in seen.neighbours.items()} == {
        "ipv4": (1024, 2)
    }
    assert "lo" in (seen.interfaces or ())


# --- Neutron ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[vxlan]\nl2_population = True\n", True),
        ("[vxlan]\nenable_vxlan=true\nl2_population=on\n", True),
        ("[vxlan]\nl2_population = false\nl2_population = true  \n", True),
        ("[vxlan]\nl2_population = false\n", False),
        ("[vxlan]\n# l2_population = true\n", False),
        ("[vxlan]\nenable_vxlan = false\nl2_population = true\n", False),
        ("[agent]\nl2_population = true\n", False),  # Open vSwitch, where the two go together
        ("[ml2]\nmechanism_drivers = linuxbridge,l2population\npassword = 5%\n", False),
        ("[DEFAULT]\nl2_population = true\n[vxlan]\n", False),
    ],
)
def test_l2_population_is_read_as_the_linux_bridge_agent_reads_it(
    text: str, expected: bool
) -> None:
    assert neutron.has_l2_population(text) is expected


def test_each_file_of_neutron_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "linuxbridge_agent.ini").write_text("[vxlan]\nl2_population = true\n")
    (tmp_path / "broken.ini").write_text("no section = here\n")
    (tmp_path / "other.conf").write_text("[vxlan]\nl2_population = true\n")
    seen = neutron.look(tmp_path)
    assert seen.l2_population == (str(tmp_path / "linuxbridge_agent.ini"),)
    assert seen.unread == (str(tmp_path / "broken.ini"),)
    with pytest.raises(Error):
        neutron.has_l2_population("no section = here\n")


def test_neutrons_monitors_are_counted(tmp_path: Path) -> None:
    for pid, command in {
        "1": b"init\0",
        "22": b"/usr/bin/python3\0/usr/bin/neutron-keepalived-state-change\0--router_id=a\0",
        "x": b"neutron-keepalived-state-change\0",
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes(command)
    assert neutron.look(tmp_path, tmp_path).monitors == 1
