"""The image of Dockerfile, built and run by podman as docs/install.md says, on a node of the lab.

No registry is asked: debian:bookworm-slim is made by debootstrap, and the wheels are there already.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from havrrpd.lab import keepalived, overlay
from havrrpd.lab.lab import Lab
from havrrpd.lab.node import Node
from havrrpd.lab.overlay import project_segment
from havrrpd.lab.router import Router, make_script
from havrrpd.lab.waiting import wait_until
from tests.system import cgroups, debian, repository

pytestmark = pytest.mark.root

NODE = "network1"
BASE = "docker.io/library/debian:bookworm-slim"  # the full name of the one in Dockerfile
ELECTION = 10.0  # seconds; Active_Down_Interval is 3.4 here
CHECKS = "[health_check]\ninterval = 1.0\n"
NEEDS = (
    "No image is built on this machine. podman needs root with every capability and mounts of its "
    "own: `make test` can't pass where these are forbidden. It said:\n"
)
WITHOUT_AN_INDEX = "[global]\nno-index = true\nfind-links = /wheels\n"

# What a node of the lab has less than a machine: /etc and /var/lib of its own, and systemd, which
# shares all mounts. crun refuses control groups of both versions side by side.
AS_A_MACHINE = """
mount -t tmpfs tmpfs /mnt
for directory in /etc /var/lib; do
    mkdir -p "/mnt/upper$directory" "/mnt/work$directory"
    mount -t overlay overlay "$directory" \\
        -o "lowerdir=$directory,upperdir=/mnt/upper$directory,workdir=/mnt/work$directory"
done
mount --make-shared /run
! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
mkdir /etc/havrrpd
"""

# Everything that it keeps is in the memory of the node, and gone with it.
PODMAN = [
    *("podman", "--root=/mnt/storage", "--runroot=/mnt/run", "--tmpdir=/mnt/tmp"),
    "--cgroup-manager=cgroupfs",
]
# docs/install.md speaks of docker. The image is there already: on a node is no network for apt.
AS_DOCKER = f"""
podman="{" ".join(PODMAN)}"
docker() {{
    case "$1" in
        build) $podman image exists havrrpd ;;
        run) shift; $podman run --cgroups=no-conmon --cgroup-parent=/{cgroups.OWN} "$@" ;;
    esac
}}
"""


@pytest.fixture(scope="module")
def lab(wheels: Path) -> Iterator[Lab]:
    with Lab(nodes=1, havrrpd=False) as running:
        node = running.node(NODE)
        node.shell(AS_A_MACHINE)
        node.path("/etc/havrrpd/havrrpd.toml").write_text(CHECKS)
        node.path("/mnt/pip.conf").write_text(WITHOUT_AN_INDEX)
        build(node, wheels)
        yield running
    cgroups.remove()


def build(node: Node, wheels: Path) -> None:
    """As `docker build -t havrrpd .`, on the node, but with this machine's network for apt."""
    podman = " ".join(PODMAN)
    script = f"""
        tar --create --directory {debian.minimal()} . | {podman} import - {BASE}
        {podman} build --isolation=chroot --pull=never \\
            --volume={wheels}:/wheels:ro --volume=/mnt/pip.conf:/etc/pip.conf:ro \\
            -t havrrpd {repository.ROOT}
    """
    on_the_node = ("nsenter", f"--target={node.pid}", "--mount", "--pid")
    done = subprocess.run(
        [*on_the_node, "bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, NEEDS + (done.stdout + done.stderr)[-3000:]


def test_the_documented_commands_run_it_and_all_works_without_privileged(lab: Lab) -> None:
    node = lab.node(NODE)
    commands = repository.commands_of("A container")
    node.shell(f"cd {repository.ROOT}\n{AS_DOCKER}{commands}")
    _reachable(node, lab.routers[0])

    # A namespace that is made later is seen and entered.
    later = Router(2, vrid=2)
    node.shell(overlay.make_script([project_segment(2)], 1, ()) + make_script(later, 1))
    started = keepalived.start(node, later, lab.plan.vrrp)
    _reachable(node, later)

    # The lever: no other node is there, so keepalived goes to FAULT and comes back.
    node.exec([*PODMAN, "exec", "havrrpd", "havrrpd", "failover", later.id])
    _wait(node, later, "FAULT")
    _wait(node, later, "MASTER")
    notified = node.status(later.id)["instances"][0]["witnesses"]["notification"]
    assert notified == "MASTER"

    node.exec([*PODMAN, "stop", "havrrpd"])
    shown = json.loads(node.exec([*PODMAN, "inspect", "havrrpd"]))[0]["State"]
    assert (shown["Running"], shown["ExitCode"]) == (False, 0)
    assert started.running
    assert lab.holders() == [NODE]


def test_the_documented_capabilities_are_those_of_the_service() -> None:
    given = re.findall(r"--cap-add (\w+)", repository.commands_of("A container"))
    assert {f"CAP_{name}" for name in given} == repository.capabilities()


def _reachable(node: Node, router: Router) -> None:
    _wait(node, router, "MASTER")
    wait_until(
        lambda: node.status(router.id)["connectivity"] == "reachable", 5.0, "its gateways answer"
    )


def _wait(node: Node, router: Router, state: str) -> None:
    wait_until(
        lambda: node.status(router.id)["state"] == state, 2 * ELECTION, f"{router.id} is {state}"
    )
