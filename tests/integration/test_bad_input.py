"""What comes in wrong from outside: one clear sentence or counter each, and the daemon goes on."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator

import pytest

from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import LabError, wait_until

pytestmark = pytest.mark.root

NODE = "network1"
RUN = f"{sys.executable} -m havrrpd run --config"
CONFIG = "/run/havrrpd/havrrpd.toml"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(nodes=1) as lab:
        wait_until(lambda: lab.node(NODE).status()["summary"]["MASTER"], 20.0, "a MASTER")
        yield lab


def outcome(lab: Lab, command: str) -> tuple[str, int]:
    """What a command said on both streams, and its exit code."""
    said = lab.node(NODE).shell(f"({command}) 2>&1 && echo 0 || echo $?")
    text, _, code = said.rstrip().rpartition("\n")
    return text, int(code)


def metric(lab: Lab, name: str) -> str:
    fetch = "import urllib.request as r; print(r.urlopen('{}').read().decode())"
    command = [sys.executable, "-c", fetch.format("http://127.0.0.1:9912/metrics")]
    lines = lab.node(NODE).exec(command).splitlines()
    return next(line.rpartition(" ")[2] for line in lines if line.startswith(name + " "))


def test_a_second_havrrpd_on_the_node_refuses_to_start(lab: Lab) -> None:
    text, code = outcome(lab, f"{RUN} {CONFIG}")
    assert text == (
        "havrrpd: /run/havrrpd/havrrpd.sock: socket already in use: "
        "another havrrpd runs on this node"
    )
    assert code == 1


def test_a_port_in_use_is_named(lab: Lab) -> None:
    other = lab.node(NODE).path("/run/other.toml")
    other.write_text('[paths]\nsocket = "/run/other.sock"\nstate_dir = "/run/other"\n')
    text, code = outcome(lab, f"{RUN} /run/other.toml")
    assert "('127.0.0.1', 9912)" in text
    assert "Address already in use" in text
    assert code == 1
    assert not lab.node(NODE).path("/run/other.sock").exists()


def test_a_wrong_configuration_names_every_problem(lab: Lab) -> None:
    lab.node(NODE).path("/run/bad.toml").write_text(
        '[health_check]\nintervall = 3\nfall = "x"\n[election]\nsettle = -1\n'
    )
    text, code = outcome(lab, f"{RUN} /run/bad.toml")
    assert code == 2
    assert [line.split(": ")[2] for line in text.splitlines()] == [
        "health_check.intervall",
        "health_check.fall",
        "election.settle",
    ]


def test_a_reload_is_whole_or_not_at_all(lab: Lab) -> None:
    config = lab.node(NODE).path(CONFIG)
    good = config.read_text()
    name = "havrrpd_config_last_reload_successful"
    config.write_text(good.replace("[health_check]\n", "[health_check]\nfall = 0\n"))
    lab.havrrpd[NODE].signal(signal.SIGHUP)
    wait_until(lambda: metric(lab, name) == "0.0", 5.0, "the reload is refused")
    assert lab.node(NODE).status()["summary"]["MASTER"] == 1
    text, code = outcome(lab, f"{sys.executable} -m havrrpd reload")
    assert code == 2
    assert "health_check.fall" in text
    config.write_text(good.replace('"/run/havrrpd/state"', '"/run/elsewhere"'))
    text, code = outcome(lab, f"{sys.executable} -m havrrpd reload")
    assert code == 2
    assert "paths: only a restart can change this table" in text
    config.write_text(good)
    lab.havrrpd[NODE].signal(signal.SIGHUP)
    wait_until(lambda: metric(lab, name) == "1.0", 5.0, "the reload is taken")


def test_missing_capabilities_are_named_and_the_daemon_goes_on(lab: Lab) -> None:
    lab.node(NODE).path("/run/weak.toml").write_text(
        '[paths]\nsocket = "/run/weak.sock"\nstate_dir = "/run/weak"\n'
        '[web]\nlisten = "127.0.0.1:9913"\n'
    )
    argv = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw"]
    weak = lab.node(NODE).start([*argv, *RUN.split(), "/run/weak.toml"], "weak.log")
    try:

        def entries() -> list[dict[str, str]]:
            lines = weak.log.read_text().splitlines()
            return [json.loads(line) for line in lines if line.startswith("{")]

        wait_until(lambda: any(e["event"] == "daemon.ready" for e in entries()), 10.0, "ready")
        missing = [e["capability"] for e in entries() if e["event"] == "capability.missing"]
        assert missing == ["CAP_NET_RAW"]
    finally:
        weak.signal(signal.SIGTERM)
        weak.wait(10.0)


def test_a_namespace_that_goes_in_the_middle_of_everything_takes_its_router_with_it() -> None:
    with Lab(nodes=1, routers=2) as lab:
        node, router = lab.node(NODE), lab.routers[1]
        wait_until(lambda: node.status()["summary"]["MASTER"] == 2, 20.0, "two MASTERs")
        node.exec(["ip", "netns", "del", router.namespace])
        lab.kill_keepalived(NODE, 2)
        wait_until(lambda: node.status()["summary"]["routers"] == 1, 10.0, "one router is gone")
        assert lab.havrrpd[NODE].running
        assert router.id not in node.exec(
            [sys.executable, "-c", "import urllib.request as r; "
             "print(r.urlopen('http://127.0.0.1:9912/metrics').read().decode())"]
        )  # fmt: skip
        log = lab.havrrpd[NODE].log.read_text()
        assert "Traceback" not in log


def test_a_client_without_a_daemon_says_what_to_do(lab: Lab) -> None:
    text, code = outcome(lab, f"{sys.executable} -m havrrpd --socket /run/none.sock status")
    assert code == 1
    assert "/run/none.sock" in text
    assert "systemctl status havrrpd" in text
    with pytest.raises(LabError, match="no router nobody"):
        lab.node(NODE).exec([sys.executable, "-m", "havrrpd", "status", "nobody"])
