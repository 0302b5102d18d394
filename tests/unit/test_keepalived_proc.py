"""What /proc says of keepalived's processes, and which router each of them is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from havrrpd.sources.keepalived.loaded import MAX_BYTES, Files, on_disk
from havrrpd.sources.keepalived.proc import (
    CommandLine,
    Stat,
    decode_command_line,
    decode_effective_uid,
    decode_stat,
)
from havrrpd.sources.keepalived.routers import Registry, name_router

UUID = "3f0f7c1e-0000-4000-8000-000000000007"


def test_a_process_can_be_called_anything() -> None:
    text = "71 (a) (b c) S 70 71 1 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 8123 9 9\n"
    assert decode_stat(text) == Stat("a) (b c", "S", 70, 8123)


def test_the_effective_user_counts() -> None:
    assert decode_effective_uid("Name:\tUid:\nUid:\t0\t1000\t0\t0\nGid:\t7\t7\t7\t7\n") == 1000


@pytest.mark.parametrize(
    ("decode", "text", "said"),
    [
        (
            decode_stat,
            "71 (a) S 70",
            "the stat of a process has more than 2 fields behind its name",
        ),
        (decode_effective_uid, "Name:\tUid:\n", "the status of a process has a line Uid:"),
        (decode_effective_uid, "Uid:\t0\n", "the status of a process has a line Uid:"),
    ],
)
def test_what_the_kernel_does_not_write_is_one_kind_of_error(
    decode: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        decode(text)


@pytest.mark.parametrize(
    ("arguments", "config_file", "config_id", "log_console"),
    [
        ("", None, None, False),
        ("-P -f /etc/k.conf -p /run/p -r /run/r -D", "/etc/k.conf", None, False),
        ("-f/etc/k.conf -imain", "/etc/k.conf", "main", False),
        ("-nlDf k.conf", "k.conf", None, True),
        ("--log-console -n -f /l", "/l", None, True),
        ("-l -n --no-syslog", None, None, False),
        ("-n -fl", "l", None, False),
        ("--use-file=/etc/k.conf --config-id main", "/etc/k.conf", "main", False),
        ("--use-file /etc/k.conf --dont-fork -g/var/log/k -S 7", "/etc/k.conf", None, False),
        ("--never-heard-of -f k.conf -i main", "k.conf", "main", False),
    ],
)
def test_the_command_line_names_the_file_the_id_and_the_log(
    arguments: str, config_file: str | None, config_id: str | None, log_console: bool
) -> None:
    found = decode_command_line(["keepalived", *arguments.split()])
    assert found == CommandLine(config_file, config_id, log_console)


def test_an_include_finds_files_within_the_root_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "etc" / "d").mkdir(parents=True)
    for name in ("b.conf", "a.conf", "c.txt"):
        (tmp_path / "etc" / name).write_text(name)
    (tmp_path / "etc" / "d" / "e.conf").write_text("e.conf")
    files = Files(tmp_path)
    assert [path for path, _ in files("/etc/*.conf")] == ["/etc/a.conf", "/etc/b.conf"]
    assert files("/etc/{c.txt,d{,/e.conf},none}") == [
        ("/etc/c.txt", "c.txt"),
        ("/etc/d/e.conf", "e.conf"),
    ]
    assert files("/etc/none") == []


def test_only_a_regular_file_of_a_sane_size_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.conf")
    with pytest.raises(OSError, match="not a regular file"):
        on_disk(tmp_path / "fifo.conf").read()
    (tmp_path / "big.conf").write_bytes(b"\n" * (MAX_BYTES + 1))
    with pytest.raises(OSError, match="File too large"):
        on_disk(tmp_path / "big.conf").read()
    assert Files(tmp_path)("/*.conf") == []


@pytest.mark.parametrize(
    ("namespace", "path", "name"),
    [
        (f"qrouter-{UUID}", "/x/keepalived.conf", UUID),
        (f"snat-{UUID}", "/x/keepalived.conf", UUID),
        ("qrouter-7", "/x/keepalived.conf", "qrouter-7"),
        ("edge", "/x/keepalived.conf", "edge"),
        ("blue-1", "/x/keepalived.conf", "blue-1"),
        ("net:[4026532245]", "/x/left.conf", "left"),
        (None, "/x/lb.conf", "lb"),
        (None, "", "keepalived"),
    ],
)
def test_a_routers_id(namespace: str | None, path: str, name: str) -> None:
    assert name_router(namespace, path) == name


def test_two_routers_of_one_name_are_numbered_and_found_again() -> None:
    registry = Registry()
    first = registry.add(f"qrouter-{UUID}", "/a.conf")
    second = registry.add(f"snat-{UUID}", "/b.conf")
    assert [first.id, second.id] == [UUID, f"{UUID}-2"]
    assert registry.find(f"snat-{UUID}", "/b.conf") is second
    assert registry.find(f"snat-{UUID}", "/moved.conf") is second
    assert registry.find("other", "/a.conf") is None


def test_of_two_free_routers_in_one_namespace_the_first_one_is_taken_each_time() -> None:
    registry = Registry()
    first, _ = (registry.add("blue", "/a.conf") for _ in range(2))
    for _ in range(2):
        found = registry.find("blue", "/a.conf")
        assert found is first
        registry.place(found, "blue", "/a.conf")


def test_a_router_is_found_where_it_was_placed_last_until_it_is_removed() -> None:
    registry = Registry()
    router = registry.add("blue", "/a.conf")
    registry.place(router, "red", "/b.conf")
    assert registry.find("blue", "/a.conf") is None
    assert registry.find("red", "/b.conf") is router
    registry.remove(router)
    assert registry.find("red", "/b.conf") is None
