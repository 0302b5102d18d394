"""What a run of a check script in the shape of Neutron's takes on the MASTER, with two gateways."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tests.bench.figure import Figure
from tests.bench.load import Crowded, Load
from tests.bench.peers.group import Group

RUNS = 200
SHELLS = ("sh", "bash")  # Neutron's own is for bash
_SCRIPT = "/run/check_gateways.sh"


def measure() -> Iterator[Figure]:
    for shell in SHELLS:
        yield from _measured(shell)


def _measured(shell: str) -> Iterator[Figure]:
    name = f"check script, {shell}"
    path = shutil.which(shell)
    if path is None:
        yield Figure(name, 1, "all", None, note=f"not installed: {shell}")
        return
    with Group() as group, Load(1) as load:
        (router,) = load.routers
        load.order("master", [0])
        script = load.node.path(_SCRIPT)
        script.write_text(text(router, path))
        script.chmod(0o700)
        loop = f"i=0; while [ $i -lt {RUNS} ]; do {_SCRIPT}; i=$((i + 1)); done"
        load.node.shell(f"{group.join}\nexec ip netns exec {router.namespace} sh -euc '{loop}'")
        each = group.cpu() / RUNS
    gateways = len(router.gateways)
    yield Figure(name, 1, f"checks: CPU a run, {gateways} gateways", each * 1e3, "ms")
    yield Figure(name, 1, "checks: CPU each, beyond idle", each / gateways * 1e6, "us")


def text(router: Crowded, shell: str) -> str:
    """Exits 0 unless MASTER, as facts/neutron.md has it; fails at the first gateway that does."""
    virtual_address = router.addresses[0][0].split("/")[0]
    pings = "".join(
        f"ping -c 1 -w 1 {gateway.split('/')[0]} > /dev/null || exit 1\n"
        for gateway in router.gateways
    )
    return f"#!{shell}\nip address | grep -F {virtual_address} > /dev/null || exit 0\n{pings}"
