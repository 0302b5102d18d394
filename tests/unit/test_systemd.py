"""The service's side of sd_notify, and the units it is shipped with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from structlog.testing import capture_logs

from havrrpd import systemd

ANALYZE = shutil.which("systemd-analyze") or ""
UNITS = Path(__file__).parents[2] / "systemd"


def settings(path: Path) -> dict[str, list[str]]:
    """The keys of a unit as `Section.Key`, with all their values in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket like systemd's, and the NOTIFY_SOCKET that names it."""
    name = f"hv-{os.getpid()}-{token_hex(4)}"
    address = f"@{name}" if request.param == "abstract" else str(tmp_path / name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.settimeout(5)
        bound.bind(address.replace("@", "\0"))
        yield address, bound


def test_fields_arrive_in_one_datagram(listener: tuple[str, socket.socket]) -> None:
    address, bound = listener
    told = systemd.notify(
        systemd.READY, systemd.status("3 routers"), environ={"NOTIFY_SOCKET": address}
    )
    assert told
    assert bound.recv(4096) == b"READY=1\nSTATUS=3 routers"


def test_reloading_carries_the_monotonic_time(listener: tuple[str, socket.socket]) -> None:
    address, bound = listener
    systemd.notify(systemd.reloading(), environ={"NOTIFY_SOCKET": address})
    first, second = bound.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()


def test_a_status_is_one_line_whatever_is_in_it() -> None:
    assert systemd.status("two\nlines  here") == "STATUS=two lines here"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_nothing_is_sent(environ: dict[str, str]) -> None:
    assert systemd.notify(systemd.READY, environ=environ) is False


def test_a_socket_that_is_gone_is_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        told = systemd.notify(systemd.WATCHDOG, environ={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert told is False
    assert [entry["event"] for entry in logs] == ["systemd.not_told"]


def test_a_busy_systemd_is_not_waited_for(listener: tuple[str, socket.socket]) -> None:
    address, _ = listener
    with capture_logs() as logs:
        while systemd.notify(systemd.WATCHDOG, environ={"NOTIFY_SOCKET": address}):
            pass  # nobody reads: its queue is full at some time
    assert [entry["event"] for entry in logs] == ["systemd.not_told"]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_interval_comes_from_the_environment(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert systemd.watchdog_interval(environ) == seconds


def test_the_service_tells_systemd_when_it_is_ready_and_is_watched() -> None:
    service = settings(UNITS / "havrrpd.service")
    assert service["Service.Type"] == ["notify"]
    assert service["Service.WatchdogSec"] == ["10"]
    assert service["Service.Restart"] == ["always"]
    assert service["Service.StateDirectory"] == ["havrrpd"]


def test_the_service_never_removes_the_levers_at_its_stop() -> None:
    assert "Service.RuntimeDirectory" not in settings(UNITS / "havrrpd.service")


def test_nothing_makes_keepalived_depend_on_havrrpd() -> None:
    tied = {"Requires", "Requisite", "BindsTo", "PartOf", "RequiredBy", "Conflicts", "Upholds"}
    for path in (UNITS / "havrrpd.service", UNITS / "keepalived.service.d" / "havrrpd.conf"):
        keys = {key.partition(".")[2] for key in settings(path)}
        assert not keys & tied


def test_the_service_sees_namespaces_mounted_after_its_start() -> None:
    service = settings(UNITS / "havrrpd.service")
    assert service.get("Service.MountFlags", ["slave"]) in (["slave"], ["shared"])
    hiding = {"PrivateNetwork", "PrivateTmp", "ProtectProc", "ProcSubset", "PrivateUsers"}
    assert not {key.partition(".")[2] for key in service} & hiding


def test_the_service_has_only_the_capabilities_that_are_explained() -> None:
    service = settings(UNITS / "havrrpd.service")
    assert set(service["Service.CapabilityBoundingSet"][0].split()) == {
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_NET_BROADCAST",
        "CAP_SYS_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_DAC_OVERRIDE",
    }


def test_directories_are_made_before_keepalived_starts_and_never_aged() -> None:
    lines = (UNITS / "tmpfiles.d" / "havrrpd.conf").read_text().splitlines()
    made = [line.split() for line in lines if line and not line.startswith("#")]
    assert [(fields[0], fields[1]) for fields in made] == [
        ("d", "/run/havrrpd"),
        ("d", "/run/havrrpd/notify"),
        ("d", "/run/havrrpd/levers"),
    ]
    assert {fields[5] for fields in made} == {"-"}


def test_the_drop_in_never_keeps_keepalived_from_starting() -> None:
    drop_in = settings(UNITS / "keepalived.service.d" / "havrrpd.conf")
    assert drop_in["Unit.After"] == ["systemd-tmpfiles-setup.service"]
    commands = drop_in["Service.ExecStartPre"]
    assert commands
    assert all(command.startswith("-") for command in commands)


if ANALYZE:  # not everywhere that tests run is systemd installed

    def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
        program = tmp_path / "havrrpd"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        unit = tmp_path / "havrrpd.service"
        text = (UNITS / "havrrpd.service").read_text()
        unit.write_text(text.replace("/usr/bin/havrrpd", str(program)))
        keepalived = tmp_path / "keepalived.service"
        keepalived.write_text(f"[Service]\nType=notify\nExecStart={program}\n")
        shutil.copytree(UNITS / "keepalived.service.d", tmp_path / "keepalived.service.d")
        ran = subprocess.run(
            [ANALYZE, "verify", "--man=no", str(unit), str(keepalived)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        complaints = [line for line in ran.stderr.splitlines() if "havrrpd" in line]
        assert (ran.returncode, complaints) == (0, [])
