"""The doctor on nodes of the lab: what can be broken for real is seen by it, and nothing else.

Each test begins and ends with a lab that is as well as a lab can be: nothing makes the directories
of a node again, as no node boots, and no uplinks are named.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from havrrpd.doctor.looking.keepalived import writes_to_console
from havrrpd.lab import overlay
from havrrpd.lab.daemon import CONFIG
from havrrpd.lab.keepalived import HA_CONFS, LEVER_DIR, NOTIFY_DIR, Vrrp, configuration
from havrrpd.lab.overlay import project_segment
from havrrpd.lab.process import Process, children
from havrrpd.lab.router import Router, make_script
from havrrpd.lab.waiting import LabError, wait_until
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

NODE = "network1"
WELL = Counter({"directory_not_made_at_boot": 2, "no_uplinks": 1})
LIMIT = 20.0  # seconds for anything on a busy machine

# What a careless hand makes of the stanza: each line of it is a finding.
CARELESS = (
    ("    nopreempt\n", ""),
    ("    weight 1\n    init_file 0\n", "    weight 2\n"),
    (" root\n}", "\n}"),
    ("priority 150", "priority 20"),
    ("    track_interface {", "    track_script {\n        gateway\n    }\n    track_interface {"),
    (
        "\nvrrp_instance",
        "static_routes {\n    192.0.2.0/24 via 203.0.113.1 dev lo\n}\n\nvrrp_script gateway {\n"
        '    script "/bin/true"\n    interval 60\n    user root\n}\n\nvrrp_instance',
    ),
)

PASSWORD = "    authentication {\n        auth_type PASS\n        auth_pass x\n    }\n"


@pytest.fixture(scope="module")
def seen() -> Iterator[Watched]:
    with watched(nodes=2) as lab:
        lab.steady()
        wait_until(lambda: found(lab) == WELL or None, LIMIT, "a lab that is well")
        yield lab


def doctor(seen: Watched, *words: str, node: str = NODE) -> tuple[int, str]:
    """The exit code, and what is printed on stdout."""
    config = () if "--config" in words else ("--config", CONFIG)
    command = shlex.join([sys.executable, "-m", "havrrpd", *words, *config])
    code, _, out = (
        seen.lab.node(node)
        .shell(f'code=0; out=$({command} 2>/dev/null) || code=$?; echo $code; echo "$out"')
        .partition("\n")
    )
    return int(code), out


def findings(seen: Watched, *words: str, node: str = NODE) -> list[dict[str, Any]]:
    _, out = doctor(seen, *(words or ("doctor",)), "-o", "json", node=node)
    listed: list[dict[str, Any]] = json.loads(out)["findings"]
    return listed


def found(seen: Watched, *words: str, node: str = NODE) -> Counter[str]:
    return Counter(each["name"] for each in findings(seen, *words, node=node))


def added(seen: Watched, *words: str, node: str = NODE) -> set[str]:
    """What is found beside that which is found in a lab that is well."""
    return set(found(seen, *words, node=node) - WELL)


def wait_added(seen: Watched, expected: set[str], node: str = NODE) -> None:
    def seen_now() -> bool:
        now = added(seen, node=node)
        if now != expected:
            raise LabError(f"found: {sorted(now)}")
        return True

    wait_until(seen_now, LIMIT, f"the findings {sorted(expected)}")


def start(seen: Watched, router: Router, text: str, *wrapper: str, version: int = 2) -> Process:
    """keepalived with any configuration, in the namespace of a router; returns its main process."""
    node = seen.lab.node(NODE)
    path = f"{HA_CONFS}/{router.id}.conf"
    node.path(path).write_text(text)
    files = ("-f", path, "-p", f"{path}.pid", "-r", f"{path}.vrrp")
    command = (
        "ip",
        "netns",
        "exec",
        router.namespace,
        "keepalived",
        "-n",
        "-l",
        "-D",
        "-P",
        *files,
    )
    process = node.start([*wrapper, *command], log=f"odd-{router.number}-{version}.log")
    wait_until(lambda: children(process.pid), LIMIT, "keepalived's child")
    return process


def another_router(seen: Watched, number: int) -> Router:
    """On the same hidden network as the first, with the same VRID."""
    router = Router(number)
    script = overlay.make_script([project_segment(router.number)], 1, ()) + make_script(router, 1)
    seen.lab.node(NODE).shell(script)
    return router


def remove(seen: Watched, router: Router, process: Process) -> None:
    seen.lab.node(NODE).shell(f"kill {_inside(process)}")
    process.wait(LIMIT)
    seen.lab.node(NODE).shell(f"ip netns delete {router.namespace}")


def _inside(process: Process) -> int:
    """Its pid in its own process namespace."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[-1]) for line in file if line.startswith("NSpid:"))


def test_a_log_on_the_console_is_one_where_no_syslog_is_and_the_console_is_real(
    tmp_path: Path,
) -> None:
    (tmp_path / "dev").mkdir()
    assert not writes_to_console(tmp_path)
    os.mknod(tmp_path / "dev/console", stat.S_IFCHR | 0o600, os.makedev(5, 1))
    assert writes_to_console(tmp_path)
    (tmp_path / "dev/log").symlink_to("/run/systemd/journal/dev-log")
    assert not writes_to_console(tmp_path)
    (tmp_path / "dev/log").unlink()
    (tmp_path / "dev/console").unlink()
    os.mknod(tmp_path / "dev/console", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    assert not writes_to_console(tmp_path)


def test_a_lab_that_is_well_has_nothing_but_what_a_lab_lacks(seen: Watched) -> None:
    code, out = doctor(seen, "doctor")
    assert code == 0
    assert out.startswith("LEVEL  WHERE  FINDING")
    code, line = doctor(seen, "doctor", "--nagios")
    assert code == 1
    assert line.startswith("WARNING - node: directory_not_made_at_boot (nothing makes /run/")
    assert " | fail=0;;0;0; warn=2;0;;0; routers=1;;;0; " in line
    assert added(seen, node="network2") == set()


def test_a_lever_that_keepalived_does_not_watch_any_more_is_named(seen: Watched) -> None:
    node, lever = seen.lab.node(NODE), f"{LEVER_DIR}/{seen.lab.routers[0].id}"
    node.shell(f"mv {LEVER_DIR} /run/old; mkdir {LEVER_DIR}; cp /run/old/* {LEVER_DIR}")
    assert added(seen) == {"lever_not_watched"}
    assert doctor(seen, "doctor")[0] == 3
    node.shell(f"mv {lever} /run/lever; mkdir {lever}")
    assert added(seen) == {"lever_not_watched", "lever_not_a_file"}
    node.shell(f"rmdir {lever}")
    assert added(seen) == {"lever_not_watched", "lever_file_missing"}
    node.shell(f"rmdir {LEVER_DIR}")
    assert added(seen) == {"directory_missing", "lever_directory_missing"}
    node.shell(f"mkdir {LEVER_DIR}; mv /run/lever {lever}")
    seen.lab.keepalived[NODE, 1].reload()
    wait_added(seen, set())


def test_a_fifo_that_is_not_keepalived_s_any_more_is_named(seen: Watched) -> None:
    node, fifo = seen.lab.node(NODE), f"{NOTIFY_DIR}/{seen.lab.routers[0].id}"
    node.shell(f"mv {fifo} /run/fifo")
    assert added(seen) == {"fifo_missing"}
    node.shell(f"echo INSTANCE > {fifo}")
    assert added(seen) == {"fifo_is_none"}
    node.shell(f"rm {fifo}; mkfifo {fifo}")
    assert added(seen) == {"fifo_not_open"}
    node.shell(f"rm {fifo}; mv {NOTIFY_DIR} /run/aside")
    assert added(seen) == {"directory_missing", "fifo_directory_missing"}
    node.shell(f"mv /run/aside {NOTIFY_DIR}; mv /run/fifo {fifo}")
    wait_added(seen, set())


def test_the_configuration_is_judged_against_the_node(seen: Watched) -> None:
    node = seen.lab.node(NODE)
    text = node.path(CONFIG).read_text()

    def with_config(changed: str) -> set[str]:
        node.path("/run/other.toml").write_text(changed)
        return added(seen, "doctor", "--config", "/run/other.toml")

    assert with_config(text.replace("interval = 1.0", 'interval = 1.0\nuplinks = ["nope"]')) == {
        "uplink_missing"
    }
    assert with_config(text.replace("interval = 1.0", "interval = 0")) == {"gateways_unchecked"}
    assert with_config(text.replace("settle", "observe_only = true\nsettle")) == {"observe_only"}
    assert with_config(text.replace("settle", "setle")) == {"config_refused", "gateways_unchecked"}
    assert doctor(seen, "doctor", "--config", "/run/other.toml")[0] == 2


def test_a_daemon_that_does_not_answer_is_named_and_the_rest_is_judged(seen: Watched) -> None:
    assert added(seen, "--socket", "/run/nobody", "doctor") == {"socket_unreachable"}
    seen.havrrpd(NODE, "drain")
    assert added(seen) == {"drained"}
    seen.havrrpd(NODE, "undrain")
    seen.lab.stop_havrrpd(NODE)
    assert added(seen) == {"daemon_down"}
    seen.lab.start_havrrpd(NODE)
    wait_added(seen, set())


def test_a_careless_configuration_is_named_line_by_line(seen: Watched) -> None:
    router = another_router(seen, 2)
    text = configuration(router, NODE, Vrrp()).replace(
        "virtual_router_id 1\n", "virtual_router_id 9\n"
    )
    for line, careless in CARELESS:
        assert line in text, line
        text = text.replace(line, careless)
    seen.lab.node(NODE).shell(f"mkfifo {NOTIFY_DIR}/{router.id}")
    process = start(seen, router, text)
    try:
        wait_added(
            seen,
            {
                "preempt_on",
                "lever_weight",
                "lever_without_init_file",
                "lever_file_missing",
                "fifo_user_missing",
                "priority_small",
                "check_script_beside",
                "keepalived_crashes_by_static_routes",
            },
        )
    finally:
        remove(seen, router, process)
    wait_added(seen, set())


def test_a_second_router_with_our_vrid_is_named_here_and_on_the_wire(seen: Watched) -> None:
    router = another_router(seen, 3)
    text = (
        configuration(router, NODE, Vrrp(advert_int=2))
        .replace("169.254.0.1/24", "169.254.0.99/24")
        .replace("    advert_int", f"{PASSWORD}    advert_int")
    )
    seen.lab.node(NODE).shell(f"mkfifo {NOTIFY_DIR}/{router.id}")
    process = start(seen, router, text)
    heard = {"addresses_differ", "advert_int_differs", "authentication_differs"}
    try:
        wait_until(lambda: heard <= added(seen) or None, LIMIT, "both routers hear the other")
        wait_until(lambda: "same_vrid" in added(seen) or None, LIMIT, "one VRID on one link")
        wait_until(
            lambda: heard <= added(seen, node="network2") or None, LIMIT, "network2 hears it too"
        )
        assert "same_vrid" not in added(seen, node="network2")
    finally:
        remove(seen, router, process)


def test_another_version_of_vrrp_and_a_private_tmp_are_named(seen: Watched) -> None:
    router = another_router(seen, 4)
    text = configuration(router, NODE, Vrrp(version=3)).replace(LEVER_DIR, "/tmp")
    private = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /tmp; exec "$@"', "sh")
    process = start(seen, router, text, *private, version=3)
    try:
        wait_until(
            lambda: {"private_tmp", "vrrp_version_differs"} <= added(seen) or None,
            LIMIT,
            "another version on the wire, and a /tmp of its own",
        )
    finally:
        remove(seen, router, process)
