"""The doctor's rules, as a table: what was seen -> every finding of it, and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address, ip_interface
from typing import Any

import pytest
from msgspec.structs import replace

from havrrpd.config import Config, parse
from havrrpd.core.model import (
    InstanceConfig,
    KeepalivedConfig,
    Problem,
    TrackFile,
    VirtualAddress,
    VirtualRoute,
)
from havrrpd.doctor.facts import (
    Daemon,
    Directory,
    Facts,
    Fifo,
    Is,
    Keepalived,
    Kernel,
    Lever,
    Neighbours,
    Neutron,
    Version,
)
from havrrpd.doctor.findings import Level
from havrrpd.doctor.rules import examine, kinds

LEVER = "/run/havrrpd/levers/a"
FIFO = "/run/havrrpd/notify/a"
TOML = '[health_check]\ninterval = 1\nuplinks = ["eth0"]\n'
INSTANCE = InstanceConfig(
    "VR_1",
    1,
    "ha-0",
    priority=50,
    preempt=False,
    virtual_addresses=(VirtualAddress(ip_interface("169.254.0.1/24"), "ha-0"),),
    virtual_routes=(VirtualRoute(IPv4Network("0.0.0.0/0"), ip_address("203.0.113.1"), "qg-0"),),
    track_files=(("havrrpd", None),),
)
TRACK_FILE = TrackFile("havrrpd", LEVER, initial=0)
LOADED = KeepalivedConfig(
    instances=(INSTANCE,),
    track_files=(TRACK_FILE,),
    notify_fifo=FIFO,
    notify_fifo_user="root",
)
PROCESS = Keepalived(
    pid=123,
    router="a",
    namespace="qrouter-a",
    config=LOADED,
    age=100.0,
    version=(2, 4, 3),
    watches_files=True,
    levers=(Lever(LEVER, (1, 8), True, Is.FILE, True),),
    fifo=Fifo(FIFO, True, Is.FIFO, (1, 9), 0, 0, True, True),
    links={"ha-0": "bridge brq1"},
)


def shown(**differs: Any) -> dict[str, Any]:
    """A router as /status shows it."""
    return {
        "router": "a",
        "namespace": "qrouter-a",
        "pid": 123,
        "state": "MASTER",
        "problems": [],
        "gateways": [{"address": "203.0.113.1", "verdict": "reachable"}],
        "odd_adverts": [],
        "election": {"phase": "steady", "uplinks_down": []},
        "instances": [shown_instance()],
        **differs,
    }


def shown_instance(**differs: Any) -> dict[str, Any]:
    return {
        "vrrp_instance": "VR_1",
        "interface": "ha-0",
        "state": "MASTER",
        "advert_int": 1.0,
        "priority": 50,
        "masters_heard": [],
        **differs,
    }


def status(*routers: dict[str, Any], **differs: Any) -> dict[str, Any]:
    return {
        "version": "9.9",
        "ready": True,
        "unprotected": [],
        "routers": list(routers or [shown()]),
        **differs,
    }


WELL = Facts(
    config=parse(TOML, "test"),
    daemon=Daemon(status(), pid=7, capabilities=-1, descriptors=(40, 65536), sees_our_network=True),
    keepalived=(PROCESS,),
    directories=(Directory("/run/havrrpd/levers", True, True),),
    kernel=Kernel(8192, 30, {"ipv4": Neighbours(1024, 0)}, frozenset({"lo", "eth0"})),
    version="9.9",
)

Said = list[tuple[str, str, str]]


def said(facts: Facts) -> Said:
    return [(each.name, each.where, each.what) for each in examine(facts)]


def told(*routers: dict[str, Any], **differs: Any) -> Facts:
    """A daemon that shows these routers."""
    return replace(WELL, daemon=replace(WELL.daemon, status=status(*routers, **differs)))


def running(**differs: Any) -> Facts:
    """Another keepalived."""
    return replace(WELL, keepalived=(replace(PROCESS, **differs),))


def loaded(**differs: Any) -> Facts:
    """The same with another configuration."""
    return running(config=replace(LOADED, **differs))


def instance(**differs: Any) -> Facts:
    return loaded(instances=(replace(INSTANCE, **differs),))


def track_file(**differs: Any) -> Facts:
    return loaded(track_files=(replace(TRACK_FILE, **differs),))


def lever(**differs: Any) -> Facts:
    return running(levers=(replace(PROCESS.levers[0], **differs),))


def fifo(version: Version = (2, 4, 3), **differs: Any) -> Facts:
    assert PROCESS.fifo is not None
    return running(fifo=replace(PROCESS.fifo, **differs), version=version)


def configured(text: str) -> Config:
    return parse(text, "test")


def silent(**differs: Any) -> Facts:
    return replace(WELL, daemon=Daemon(error="no answer on /s: connection refused", **differs))


def odd(*oddities: str, seconds: float = 0.4) -> dict[str, Any]:
    return {
        "interface": "ha-0",
        "source": "169.254.192.9",
        "oddities": list(oddities),
        "last_heard_seconds": seconds,
    }


def heard(last: int, priority: int = 50, seconds: float = 0.4) -> dict[str, Any]:
    return {
        "address": f"169.254.192.{last}",
        "priority": priority,
        "last_heard_seconds": seconds,
    }


def second(**differs: Any) -> Keepalived:
    """Of another router, with everything of its own."""
    other = replace(
        PROCESS,
        pid=124,
        router="b",
        namespace="qrouter-b",
        config=replace(LOADED, track_files=(replace(TRACK_FILE, path="/run/havrrpd/levers/b"),)),
        levers=(Lever("/run/havrrpd/levers/b", (1, 8), True, Is.FILE, True),),
        fifo=Fifo("/run/havrrpd/notify/b", True, Is.FIFO, (1, 10), 0, 0, True, True),
        links={"ha-0": "bridge brq2"},
    )
    return replace(other, **differs)


def both(other: Keepalived) -> Facts:
    facts = replace(WELL, keepalived=(PROCESS, other))
    listed = status(shown(), shown(router="b", namespace="qrouter-b", pid=124))
    return replace(facts, daemon=replace(WELL.daemon, status=listed))


A, A1 = "router a", "router a VR_1"

CASES: dict[str, tuple[Facts, Said]] = {
    # --- havrrpd itself ---
    "a mistake in the configuration": (
        replace(WELL, config_problems=("x.toml: [web] port: is not a known key",)),
        [("config_refused", "node", "x.toml: [web] port: is not a known key")],
    ),
    "not root": (
        replace(WELL, as_root=False, keepalived=()),
        [("not_root", "node", "not everything could be looked at")],
    ),
    "no daemon": (
        silent(),
        [("daemon_down", "node", "no answer on /s: connection refused")],
    ),
    "a daemon that does not answer": (
        silent(running=(7,)),
        [
            (
                "socket_unreachable",
                "node",
                "no answer on /s: connection refused; process 7 looks like it",
            )
        ],
    ),
    "a socket that may not be used": (
        silent(denied=True, running=(7,)),
        [("socket_denied", "node", "no answer on /s: connection refused")],
    ),
    "a daemon that has just started": (
        told(ready=False),
        [("daemon_not_ready", "node", "havrrpd answers, and is not ready yet")],
    ),
    "a daemon of before the upgrade": (
        told(version="9.8"),
        [("daemon_outdated", "node", "havrrpd 9.8 runs, 9.9 is installed")],
    ),
    "capabilities": (
        replace(WELL, daemon=replace(WELL.daemon, capabilities=-1 & ~(1 << 13 | 1 << 21))),
        [
            (
                "capabilities_missing",
                "node",
                "CAP_NET_RAW is missing, needed for adverts and gateway probes",
            ),
            (
                "capabilities_missing",
                "node",
                "CAP_SYS_ADMIN is missing, needed for entering a network namespace",
            ),
        ],
    ),
    "descriptors": (
        replace(WELL, daemon=replace(WELL.daemon, descriptors=(820, 1024))),
        [("descriptors_low", "node", "820 of 1024 file descriptors are open")],
    ),
    "a keepalived that the daemon does not list": (
        replace(WELL, keepalived=(PROCESS, second())),
        [("keepalived_not_seen", "router b", "havrrpd does not list its keepalived (124)")],
    ),
    "a keepalived that the daemon does not list yet": (
        replace(WELL, keepalived=(PROCESS, second(age=9.0))),
        [],
    ),
    "a namespace that the daemon does not see": (
        told(shown(namespace="net:[4026532]")),
        [
            (
                "namespace_hidden",
                A,
                "its namespace is qrouter-a, and havrrpd sees net:[4026532]",
            )
        ],
    ),
    # --- the node ---
    "keepalived is not installed": (
        replace(
            WELL,
            keepalived=(),
            installed=False,
            daemon=replace(WELL.daemon, status={**status(), "routers": []}),
        ),
        [("keepalived_missing", "node", "keepalived is not installed")],
    ),
    "no router": (
        replace(
            WELL, keepalived=(), daemon=replace(WELL.daemon, status={**status(), "routers": []})
        ),
        [("no_routers", "node", "no keepalived was found")],
    ),
    "a namespace without keepalived": (
        told(unprotected=[{"router": "c", "namespace": "qrouter-c"}]),
        [("router_unprotected", "router c", "no keepalived runs in qrouter-c")],
    ),
    "a directory that is missing": (
        replace(WELL, directories=(Directory("/run/l", False, True),)),
        [("directory_missing", "node", "/run/l is missing")],
    ),
    "a directory that a boot removes": (
        replace(WELL, directories=(Directory("/run/l", True, False),)),
        [("directory_not_made_at_boot", "node", "nothing makes /run/l at boot")],
    ),
    "an uplink that does not exist": (
        replace(WELL, kernel=replace(WELL.kernel, interfaces=frozenset({"lo"}))),
        [("uplink_missing", "node", "there is no interface eth0")],
    ),
    "an uplink in a network that can't be seen from here": (
        replace(
            WELL,
            kernel=replace(WELL.kernel, interfaces=frozenset({"lo"})),
            daemon=replace(WELL.daemon, sees_our_network=False),
        ),
        [],
    ),
    "no uplinks": (
        replace(WELL, config=configured("[health_check]\ninterval = 1\n")),
        [("no_uplinks", "node", "no uplinks are named")],
    ),
    "gateways that nobody checks": (
        replace(WELL, config=configured('[health_check]\nuplinks = ["eth0"]\n')),
        [("gateways_unchecked", "node", "gateways are not checked")],
    ),
    "gateways of one router are checked": (
        replace(
            WELL,
            config=configured(
                '[health_check]\nuplinks = ["eth0"]\n[[router]]\nmatch = "a"\ninterval = 1\n'
            ),
        ),
        [],
    ),
    "observe_only with a lever": (
        replace(WELL, config=configured(f"{TOML}[election]\nobserve_only = true\n")),
        [("observe_only", "node", "observe_only is set, and a router has a lever")],
    ),
    "observe_only without a lever": (
        replace(
            loaded(track_files=(), instances=(replace(INSTANCE, track_files=()),)),
            keepalived=(
                replace(
                    PROCESS,
                    config=replace(
                        LOADED, track_files=(), instances=(replace(INSTANCE, track_files=()),)
                    ),
                    levers=(),
                ),
            ),
            config=configured(f"{TOML}[election]\nobserve_only = true\n"),
        ),
        [],
    ),
    "drained": (
        replace(WELL, drained_for=600.0),
        [("drained", "node", "drained for 10 minutes")],
    ),
    "drained for long": (
        replace(WELL, drained_for=3 * 86400.0),
        [("drained_long", "node", "drained for 3 days")],
    ),
    # --- limits of the kernel ---
    "no inotify instance was left": (
        running(watches_files=False),
        [
            (
                "inotify_exhausted",
                A,
                "its keepalived does not watch its track file, so havrrpd can't move it",
            )
        ],
    ),
    "few inotify instances are left": (
        replace(WELL, kernel=replace(WELL.kernel, inotify_limit=128, inotify_used=103)),
        [("inotify_low", "node", "103 of 128 inotify instances are used")],
    ),
    "too few neighbours": (
        replace(WELL, kernel=replace(WELL.kernel, neighbours={"ipv6": Neighbours(9, 5)})),
        [
            (
                "neighbours_low",
                "node",
                "9 ipv6 neighbours are kept, for 1 router, and 5 were refused since the boot",
            )
        ],
    ),
    "neighbours were refused": (
        replace(WELL, kernel=replace(WELL.kernel, neighbours={"ipv4": Neighbours(1024, 5)})),
        [("neighbours_refused", "node", "5 ipv4 neighbours were refused since the boot")],
    ),
    # --- how keepalived runs ---
    "a lever in a private /tmp": (
        running(
            levers=(Lever("/tmp/a", (1, 8), True, Is.FILE, False),),
            private_tmp=True,
        ),
        [("private_tmp", A, "/tmp/a is in a /tmp that only keepalived sees")],
    ),
    "a FIFO in a private /tmp of havrrpd": (
        fifo(path="/var/tmp/a", shared=False),
        [("private_tmp", A, "/var/tmp/a is in a /tmp that only havrrpd sees")],
    ),
    "another /run": (
        lever(shared=False),
        [
            (
                "directory_not_shared",
                A,
                f"{LEVER} is another place for keepalived than for havrrpd",
            )
        ],
    ),
    "keepalived was upgraded": (
        running(replaced=True),
        [("keepalived_replaced", A, "the executable of its keepalived was replaced")],
    ),
    "a serial console as log": (
        running(serial_log="ttyS0"),
        [("log_on_serial_console", A, "its keepalived logs to ttyS0")],
    ),
    "one VRID twice on a link": (
        both(second(links={"ha-0": "bridge brq1"})),
        [("same_vrid", A1, "its VRID 1 on bridge brq1 is also that of b VR_1")],
    ),
    "one VRID on two links": (both(second()), []),
    "one VRID on one link for unicast": (
        both(
            second(
                links={"ha-0": "bridge brq1"},
                config=replace(
                    second().config,
                    instances=(replace(INSTANCE, unicast_peers=(ip_address("192.0.2.2"),)),),
                ),
            )
        ),
        [],
    ),
    # --- faults of keepalived's releases ---
    "1.2.13": (
        running(version=(1, 2, 13), config=replace(LOADED, static_routes=True)),
        [
            (
                "keepalived_loses_packets",
                A,
                "keepalived 1.2.13: it loses packets where more than two nodes have a router",
            ),
            (
                "keepalived_ignores_nopreempt",
                A,
                "keepalived 1.2.13: it takes the role back in spite of nopreempt",
            ),
            (
                "keepalived_sends_no_arp_after_reload",
                A,
                "keepalived 1.2.13: it sends no gratuitous ARP after a SIGHUP, so neighbours keep "
                "a wrong address",
            ),
            (
                "keepalived_has_no_track_files",
                A,
                "keepalived 1.2.13: it knows no track files, so havrrpd can watch its routers and "
                "can't move them",
            ),
            (
                "keepalived_loses_virtual_routes",
                A,
                "keepalived 1.2.13: a reload that changes an address can lose the virtual routes "
                "behind it",
            ),
        ],
    ),
    "2.0.7": (
        running(version=(2, 0, 7), config=replace(LOADED, static_routes=True)),
        [
            (
                "keepalived_crashes_by_default_route",
                A,
                "keepalived 2.0.7: it crashes when a default route appears and it has virtual "
                "routes",
            ),
            (
                "keepalived_keeps_old_priority",
                A,
                "keepalived 2.0.7: it leaves FAULT with the priority of before, so a node that had "
                "its turn does not stand behind the others",
            ),
            (
                "keepalived_wants_old_keyword",
                A,
                "keepalived 2.0.7: it does not know the keyword track_file at the top level, only "
                "vrrp_track_file",
            ),
            (
                "keepalived_crashes_after_reload",
                A,
                "keepalived 2.0.7: it can crash at any time after a SIGHUP, and the role moves",
            ),
            (
                "keepalived_loses_virtual_routes",
                A,
                "keepalived 2.0.7: a reload that changes an address can lose the virtual routes "
                "behind it",
            ),
            (
                "keepalived_crashes_by_static_routes",
                A,
                "keepalived 2.0.7: it crashes at a reload, or when a default route appears, and it "
                "has static_routes",
            ),
        ],
    ),
    "2.2.7 as Neutron uses it": (running(version=(2, 2, 7)), []),
    "2.2.7 with static routes": (
        running(version=(2, 2, 7), config=replace(LOADED, static_routes=True)),
        [
            (
                "keepalived_crashes_by_static_routes",
                A,
                "keepalived 2.2.7: it crashes at a reload, or when a default route appears, and it "
                "has static_routes",
            )
        ],
    ),
    "2.2.8": (
        running(version=(2, 2, 8)),
        [
            (
                "keepalived_overwrites_lever",
                A,
                "keepalived 2.2.8: it writes the value of init_file over the track file at each "
                "start, so for a moment a restarted node is not behind the others, and not drained",
            )
        ],
    ),
    "2.3.3": (running(version=(2, 3, 3)), []),
    "a version that can't be read": (
        running(version=None),
        [("keepalived_version_unread", A, "the version of its keepalived can't be read")],
    ),
    # --- the lever ---
    "no track file of ours": (
        running(
            config=replace(LOADED, track_files=(), instances=(replace(INSTANCE, track_files=()),)),
            levers=(),
        ),
        [("no_lever", A, "its keepalived has no track file of ours")],
    ),
    "a track file that no instance follows": (
        instance(track_files=()),
        [("lever_not_used", A1, "it does not follow havrrpd")],
    ),
    "a weight in the track_file block": (
        track_file(weight=2),
        [("lever_weight", A1, f"it follows {LEVER} with weight 2")],
    ),
    "a weight in the instance": (
        instance(track_files=(("havrrpd", -1),)),
        [("lever_weight", A1, f"it follows {LEVER} with weight -1")],
    ),
    "a sync group without weights": (
        instance(track_files=(("havrrpd", 0),), sync_group="G"),
        [("lever_in_sync_group", A1, "the weight counts as 0 in sync group G")],
    ),
    "two files for one router": (
        loaded(
            instances=(
                INSTANCE,
                replace(INSTANCE, name="VR_2", vrid=2, track_files=(("other", None),)),
            ),
            track_files=(
                replace(TRACK_FILE, path="/var/lib/lever"),
                TrackFile("other", LEVER, initial=0),
            ),
        ),
        [
            (
                "lever_several_files",
                A,
                f"its instances follow {LEVER} and /var/lib/lever",
            )
        ],
    ),
    "one file for two routers": (
        both(
            second(
                config=replace(LOADED, notify_fifo="/run/havrrpd/notify/b"),
                levers=PROCESS.levers,
            )
        ),
        [("lever_of_two_routers", A, "its track file a is also that of b")],
    ),
    "no directory for the lever": (
        lever(directory=None, watched=None, holds=Is.MISSING, shared=None),
        [("lever_directory_missing", A, f"there is no directory for {LEVER}")],
    ),
    "a directory that was made again": (
        lever(watched=False),
        [("lever_not_watched", A, f"its keepalived does not watch the directory of {LEVER}")],
    ),
    "a directory in the place of the file": (
        lever(holds=Is.DIRECTORY),
        [("lever_not_a_file", A, f"{LEVER} is a directory")],
    ),
    "no file": (
        lever(holds=Is.MISSING),
        [("lever_file_missing", A, f"{LEVER} is missing")],
    ),
    "no init_file": (
        track_file(initial=None),
        [("lever_without_init_file", A, f"{LEVER} has no init_file")],
    ),
    "an init_file that is not 0": (
        track_file(initial=-254),
        [("lever_initial_value", A, f"{LEVER} is made with -254")],
    ),
    "an init_file that overwrites": (
        track_file(overwrite=True),
        [("lever_overwritten", A, f"{LEVER} is overwritten by each start")],
    ),
    # --- the FIFO ---
    "no FIFO": (
        running(config=replace(LOADED, notify_fifo=None, notify_fifo_user=None), fifo=None),
        [("no_fifo", A, "its keepalived has no notify FIFO")],
    ),
    "no user behind the FIFO": (
        running(config=replace(LOADED, notify_fifo_user=None), script_user=False),
        [("fifo_user_missing", A, f"no user is behind {FIFO}")],
    ),
    "no user behind the FIFO, and keepalived_script": (
        running(config=replace(LOADED, notify_fifo_user=None), script_user=True),
        [],
    ),
    "a FIFO of somebody else": (
        fifo(owner=1000),
        [("fifo_refused", A, f"{FIFO} belongs to user 1000")],
    ),
    "a FIFO of the user that is named": (fifo(owner=1000, user=1000), []),
    "a FIFO of somebody else before 2.4.0": (fifo((2, 3, 4), owner=1000), []),
    "no directory for the FIFO": (
        fifo(directory=False, holds=Is.MISSING, id=None),
        [("fifo_directory_missing", A, f"there is no directory for {FIFO}")],
    ),
    "no FIFO at the path": (
        fifo(holds=Is.MISSING, id=None, open=None),
        [("fifo_missing", A, f"{FIFO} is missing")],
    ),
    "a file in the place of the FIFO": (
        fifo(holds=Is.FILE),
        [("fifo_is_none", A, f"{FIFO} is a file")],
    ),
    "a FIFO that was made again": (
        fifo(open=False),
        [("fifo_not_open", A, f"its keepalived has not opened {FIFO} as it is now")],
    ),
    "one FIFO for two routers": (
        both(second(fifo=PROCESS.fifo)),
        [("fifo_of_two_routers", A, "its FIFO is also that of b")],
    ),
    # --- priorities ---
    "priority 255": (
        instance(priority=255, preempt=True),
        [("priority_255", A1, "its priority is 255")],
    ),
    "a priority without room below": (
        instance(priority=33),
        [("priority_small", A1, "its priority is 33")],
    ),
    "different priorities of one router": (
        loaded(instances=(INSTANCE, replace(INSTANCE, name="VR_2", vrid=2, priority=60))),
        [("priorities_of_instances_differ", A, "its instances have priorities 50 and 60")],
    ),
    "a peer with a higher priority": (
        told(shown(instances=[shown_instance(state="BACKUP", masters_heard=[heard(2, 150)])])),
        [("priorities_of_nodes_differ", A1, "a peer sends priority 150, ours is 50")],
    ),
    "preempt": (
        instance(preempt=True),
        [("preempt_on", A1, "it has no nopreempt")],
    ),
    # --- the wire ---
    "two masters": (
        told(shown(instances=[shown_instance(state="BACKUP", masters_heard=[heard(2), heard(3)])])),
        [
            (
                "two_masters_heard",
                A1,
                "it hears 169.254.192.2 (priority 50) and 169.254.192.3 (priority 50) as MASTER",
            )
        ],
    ),
    "a master, and one that was": (
        told(
            shown(
                instances=[
                    shown_instance(state="BACKUP", masters_heard=[heard(2), heard(3, seconds=3.1)])
                ]
            )
        ),
        [],
    ),
    "another advert_int, other addresses": (
        told(shown(odd_adverts=[odd("advert_int", "virtual_addresses")])),
        [
            (
                "advert_int_differs",
                A1,
                "169.254.192.9 sends another advert_int than ours on ha-0",
            ),
            (
                "addresses_differ",
                A1,
                "169.254.192.9 sends other virtual addresses than ours on ha-0",
            ),
        ],
    ),
    "another authentication": (
        told(shown(odd_adverts=[odd("authentication")])),
        [
            (
                "authentication_differs",
                A1,
                "169.254.192.9 sends another authentication than ours on ha-0",
            )
        ],
    ),
    "another version of VRRP": (
        told(shown(odd_adverts=[odd("version")])),
        [
            (
                "vrrp_version_differs",
                A1,
                "169.254.192.9 sends another version of VRRP than ours on ha-0",
            )
        ],
    ),
    "adverts from afar, and damaged ones": (
        told(shown(odd_adverts=[odd("checksum"), odd("hop_limit")])),
        [
            ("adverts_refused", A1, "169.254.192.9 sends adverts with a wrong checksum on ha-0"),
            (
                "adverts_refused",
                A1,
                "169.254.192.9 sends adverts with a hop limit below 255 on ha-0",
            ),
        ],
    ),
    "odd adverts of long ago": (told(shown(odd_adverts=[odd("version", seconds=61.0)])), []),
    "odd adverts on an interface of two instances": (
        told(
            shown(
                odd_adverts=[odd("version")],
                instances=[shown_instance(), shown_instance(vrrp_instance="VR_2")],
            )
        ),
        [
            (
                "vrrp_version_differs",
                A,
                "169.254.192.9 sends another version of VRRP than ours on ha-0",
            )
        ],
    ),
    # --- what the daemon finds ---
    "problems": (
        told(
            shown(
                problems=sorted(Problem),
                gateways=[
                    {"address": "203.0.113.1", "verdict": "lost"},
                    {"address": "203.0.113.2", "verdict": "reachable"},
                ],
            )
        ),
        [
            (
                "addresses_missing",
                A,
                "MASTER, and some of its virtual addresses are not there",
            ),
            (
                "addresses_orphaned",
                A,
                "Virtual addresses are there, and no living keepalived owns them",
            ),
            ("adverts_stopped", A, "keepalived lives, holds the role and sends nothing: it hangs"),
            ("duplicate_master", A, "MASTER here, and another node is MASTER too"),
            ("gateway_unreachable", A, "MASTER, and its gateways do not answer: 203.0.113.1"),
            ("keepalived_down", A, "The router's keepalived does not run"),
            (
                "lever_missing",
                A,
                "The router should move, and the lever is missing, not writable, or keepalived "
                "does not follow it",
            ),
            ("no_master_heard", A, "BACKUP, and no MASTER is heard"),
            (
                "witnesses_disagree",
                A,
                "The witnesses (process, kernel, notification, wire) differ for longer than a "
                "transition",
            ),
        ],
    ),
    "FAULT": (
        told(shown(state="FAULT")),
        [("fault", A, "it is in FAULT")],
    ),
    "FAULT because an uplink is down": (
        told(shown(state="FAULT", election={"phase": "resigning", "uplinks_down": ["eth0"]})),
        [("uplink_down", A, "its uplink eth0 is down")],
    ),
    "a MASTER without a gateway": (
        told(shown(gateways=[])),
        [("no_gateway", A, "it is MASTER, and no gateway of it is known")],
    ),
    "a hung MASTER without a gateway": (
        told(shown(gateways=[], problems=["adverts_stopped"])),
        [("adverts_stopped", A, "keepalived lives, holds the role and sends nothing: it hangs")],
    ),
    "a daemon of before the upgrade, with other words": (
        told({k: v for k, v in shown(problems=["gone"]).items() if k != "odd_adverts"}),
        [],
    ),
    "a BACKUP without a gateway": (
        told(shown(state="BACKUP", gateways=[], instances=[shown_instance(state="BACKUP")])),
        [],
    ),
    "a check script beside": (
        instance(track_scripts=("ha_health_check_1",)),
        [("check_script_beside", A, "it also follows the script ha_health_check_1")],
    ),
    # --- Neutron ---
    "l2_population": (
        replace(WELL, neutron=Neutron(l2_population=("/etc/l.ini",))),
        [("l2_population", "node", "l2_population is on in /etc/l.ini")],
    ),
    "l2_population without routers": (
        replace(
            running(namespace=None),
            daemon=replace(WELL.daemon, status=status(shown(namespace=None))),
            neutron=Neutron(l2_population=("/etc/l.ini",)),
        ),
        [],
    ),
    "Neutron's monitors": (
        replace(WELL, neutron=Neutron(monitors=2)),
        [("neutron_monitor_beside", "node", "2 of Neutron's monitors run too")],
    ),
    "a file of Neutron's that can't be read": (
        replace(WELL, neutron=Neutron(unread=("/etc/l.ini",))),
        [("neutron_config_unread", "node", "/etc/l.ini can't be read")],
    ),
}


def test_a_node_that_is_well_has_no_finding() -> None:
    assert said(WELL) == []


@pytest.mark.parametrize("case", CASES)
def test_what_is_found(case: str) -> None:
    facts, expected = CASES[case]
    assert said(facts) == expected


def test_every_kind_of_finding_was_seen_to_fire() -> None:
    fired = {name for _, expected in CASES.values() for name, _, _ in expected}
    assert fired == {kind.name for kind in kinds()}


def test_every_problem_of_the_daemon_is_a_kind_of_finding() -> None:
    assert {str(problem) for problem in Problem} <= {kind.name for kind in kinds()}


def test_names_are_given_once_and_every_kind_has_its_sentences() -> None:
    every = kinds()
    assert len({kind.name for kind in every}) == len(every)
    for kind in every:
        assert kind.when.endswith("."), kind.name
        assert kind.mend, kind.name
        assert not kind.mend.endswith("."), kind.name


def test_the_worst_comes_first() -> None:
    facts = replace(
        instance(preempt=True), neutron=Neutron(l2_population=("/l",), monitors=1, unread=("/u",))
    )
    levels = [each.level for each in examine(facts)]
    assert levels == [Level.FAIL, Level.WARN, Level.UNKNOWN, Level.NOTE]
