"""The lever against a real keepalived: what moves the instance, and what does not."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import pytest

from havrrpd.levers import track_file

pytestmark = pytest.mark.root

LIMIT = 15.0
STANZA = Path(__file__).parents[2] / "config" / "keepalived.stanza.conf"
INSTANCE = """
vrrp_instance VR_1 {
    state BACKUP
    interface v0
    virtual_router_id 1
    priority 100
    version 3
    advert_int 0.1
    track_file {
        havrrpd
    }
    virtual_ipaddress {
        10.99.0.1/24
    }
}
"""


@dataclass(frozen=True, slots=True)
class Router:
    """A running keepalived with the shipped stanza; `fifo` is what it tells, open for reading."""

    fifo: int
    lever: Path

    def lines_until(self, wanted: str) -> list[str]:
        """What keepalived told, up to and with the wanted line."""
        text, deadline = "", time.monotonic() + LIMIT
        while f"{wanted}\n" not in text:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fifo], [], [], left)[0]:
                raise TimeoutError(f"no {wanted!r} in {text!r}")
            text += os.read(self.fifo, 1).decode()
        return text.splitlines()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    with contextlib.ExitStack() as stack:
        lever = tmp_path / "lever"
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, reader)
        namespace = f"hv{os.getpid()}{token_hex(3)}"
        run("ip", "netns", "add", namespace)
        stack.callback(run, "ip", "netns", "del", namespace)
        run("ip", "-n", namespace, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        for end in ("v0", "v1"):
            run("ip", "-n", namespace, "link", "set", end, "up")
        run("ip", "-n", namespace, "addr", "add", "10.99.0.2/24", "dev", "v0")
        conf = tmp_path / "keepalived.conf"
        conf.write_text(stanza(fifo, lever) + INSTANCE)
        process = keepalived(namespace, conf)
        stack.callback(end_of, process)
        made = Router(reader, lever)
        made.lines_until('INSTANCE "VR_1" MASTER 100')
        yield made


def stanza(fifo: Path, lever: Path) -> str:
    """The shipped stanza with the paths of this test."""
    text = STANZA.read_text()
    text = text.replace("/run/havrrpd/notify/keepalived", str(fifo))
    return text.replace("/run/havrrpd/levers/keepalived", str(lever))


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def keepalived(namespace: str, conf: Path) -> subprocess.Popen[bytes]:
    pids = [f"--{kind}={conf.parent}/{kind}" for kind in ("pid", "vrrp_pid")]
    inside = ["ip", "netns", "exec", namespace]
    return subprocess.Popen(
        [*inside, "/usr/sbin/keepalived", "-n", "-P", "-l", "-f", str(conf), *pids],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def end_of(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=LIMIT)


def test_keepalived_makes_the_lever_that_is_missing(router: Router) -> None:
    assert track_file.read(router.lever) == 0


def test_resigning_faults_the_instance_and_a_standing_lowers_its_priority(router: Router) -> None:
    track_file.write(router.lever, -254)
    assert router.lines_until('INSTANCE "VR_1" FAULT 100') == ['INSTANCE "VR_1" FAULT 100']
    track_file.write(router.lever, -10)
    assert router.lines_until('INSTANCE "VR_1" BACKUP 90') == ['INSTANCE "VR_1" BACKUP 90']


def test_putting_right_brings_a_router_back_that_a_crash_left_in_fault(router: Router) -> None:
    track_file.write(router.lever, -254)
    router.lines_until('INSTANCE "VR_1" FAULT 100')
    levers = router.lever.parent
    assert router.lever in track_file.put_right_all(levers)
    router.lines_until('INSTANCE "VR_1" BACKUP 100')


def test_writing_the_same_value_again_and_again_moves_nothing(router: Router) -> None:
    track_file.write(router.lever, -254)
    router.lines_until('INSTANCE "VR_1" FAULT 100')
    for _ in range(300):
        track_file.write(router.lever, -254)
    track_file.write(router.lever, -1)  # a value read as 0 in between would say BACKUP 100 before
    assert router.lines_until('INSTANCE "VR_1" BACKUP 99') == ['INSTANCE "VR_1" BACKUP 99']
