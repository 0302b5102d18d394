"""Track files: written whole, read as keepalived reads them, put right after a crash."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from havrrpd.levers import track_file


def test_a_written_value_is_read_back(tmp_path: Path) -> None:
    lever = tmp_path / "router"
    track_file.write(lever, -254)
    assert lever.read_bytes() == b"-254\n"
    assert track_file.read(lever) == -254


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    lever = tmp_path / "router"
    track_file.write(lever, 0)
    with lever.open("rb") as old:
        track_file.write(lever, -10)
        assert old.read() == b"0\n"
    assert os.listdir(tmp_path) == ["router"]


def test_the_file_can_be_read_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    lever = tmp_path / "router"
    umask = os.umask(0o077)
    try:
        track_file.write(lever, 0)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(lever.stat().st_mode) == 0o644


def test_a_write_to_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        track_file.write(tmp_path / "missing" / "router", 0)


def test_a_write_that_fails_keeps_what_was_there_and_leaves_no_temporary_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "router").mkdir()
    with pytest.raises(IsADirectoryError):
        track_file.write(tmp_path / "router", 0)
    assert os.listdir(tmp_path) == ["router"]


def test_a_write_replaces_a_symbolic_link_and_not_what_it_points_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    lever = tmp_path / "router"
    lever.symlink_to(elsewhere)
    track_file.write(lever, 0)
    assert elsewhere.read_text() == "precious"
    assert not lever.is_symlink()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0\n", 0),
        (b"-40", -40),
        (b"+7\n", 7),
        (b" \n\t-254 and more", -254),
        (b"-10.5", -10),
        (b"", None),
        (b"- 1", None),
        (b"text", None),
        (b"2147483647", 2147483647),
        (b"2147483648", None),
        (b"-2147483648", -2147483648),
        (b"-2147483649", None),
    ],
)
def test_a_number_is_read_as_keepalived_reads_it(
    tmp_path: Path, text: bytes, value: int | None
) -> None:
    lever = tmp_path / "router"
    lever.write_bytes(text)
    assert track_file.read(lever) == value


def test_a_missing_file_has_no_value(tmp_path: Path) -> None:
    assert track_file.read(tmp_path / "router") is None


def test_a_symbolic_link_or_a_fifo_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("0")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError):
            track_file.read(tmp_path / name)


def test_levers_left_in_fault_by_a_crash_are_put_right(tmp_path: Path) -> None:
    for name, text in {"a": "-254\n", "b": "-40\n", "c": "-300\n", "d": "text", "e": "0"}.items():
        (tmp_path / name).write_text(text)
    assert track_file.put_right_all(tmp_path) == [tmp_path / "a", tmp_path / "c"]
    values = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert values == {"a": "0\n", "b": "-40\n", "c": "0\n", "d": "text", "e": "0"}


def test_putting_right_removes_the_temporary_files_of_a_crash_and_no_others(
    tmp_path: Path,
) -> None:
    (tmp_path / ".havrrpd-0123456789abcdef.tmp").write_text("-254")
    (tmp_path / ".havrrpd-mine.tmp").write_text("0")
    assert track_file.put_right_all(tmp_path) == []
    assert os.listdir(tmp_path) == [".havrrpd-mine.tmp"]


def test_putting_right_does_not_follow_links_out_of_the_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("-254")
    levers = tmp_path / "levers"
    levers.mkdir()
    (levers / "link").symlink_to(outside)
    (levers / "directory").mkdir()
    assert track_file.put_right_all(levers) == []
    assert outside.read_text() == "-254"


def test_a_missing_lever_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        track_file.put_right_all(tmp_path / "missing")


def test_one_lever_that_cannot_be_read_does_not_keep_the_others_from_being_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("-254")
    opened = os.open

    def refuse_b(path: Path, *more: int) -> int:
        if Path(path).name == "b":  # the tests run as root, whom no mode keeps out
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *more)

    monkeypatch.setattr(os, "open", refuse_b)
    with capture_logs() as logs:
        assert track_file.put_right_all(tmp_path) == [tmp_path / "a", tmp_path / "c"]
    assert [(entry["event"], entry["path"]) for entry in logs] == [
        ("lever.put_right_failed", str(tmp_path / "b"))
    ]
