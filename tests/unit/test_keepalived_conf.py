"""keepalived.conf: real shapes with exact results, every macro, and any text at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from havrrpd.core.authentication import AH, password
from havrrpd.core.model import (
    InstanceConfig,
    KeepalivedConfig,
    SyncGroup,
    TrackFile,
    VirtualAddress,
    VirtualRoute,
)
from havrrpd.sources.keepalived import parse
from havrrpd.sources.keepalived.loaded import Files

SAMPLES = Path(__file__).parent / "samples" / "keepalived"
ROUTER = "3f0f7c1e-0000-4000-8000-000000000007"


def sample(name: str, config_id: str = "main") -> KeepalivedConfig:
    return parse(
        (SAMPLES / name).read_text(encoding="utf-8"),
        path=f"/etc/keepalived/{name}",
        config_id=config_id,
        include=sample_files,
    )


def sample_files(pattern: str) -> Sequence[tuple[str, str]]:
    relative = pattern.removeprefix("/etc/keepalived/")
    return [
        (f"/etc/keepalived/{path.relative_to(SAMPLES)}", path.read_text(encoding="utf-8"))
        for path in sorted(SAMPLES.glob(relative))
    ]


def address(text: str, interface: str, excluded: bool = False) -> VirtualAddress:
    return VirtualAddress(ip_interface(text), interface, excluded)


def route(destination: str, via: str | None = None, interface: str | None = None) -> VirtualRoute:
    hop = ip_address(via) if via else None
    return VirtualRoute(ip_network(destination), hop, interface)


def only(body: str, top: str = "", **options: str) -> InstanceConfig:
    """The one instance of a configuration that is whole but for `body`."""
    text = f"{top}\nvrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\n{body}\n}}\n"
    config = parse(text, config_id=options.get("config_id", "host"))
    (instance,) = config.instances
    return instance


def addresses(body: str) -> list[str]:
    instance = only(f"virtual_ipaddress {{\n{body}\n}}")
    return [str(each.address.ip) for each in instance.virtual_addresses]


# --- real shapes ---


def test_neutrons_shape() -> None:
    assert sample("neutron.conf") == KeepalivedConfig(
        instances=(
            InstanceConfig(
                name="VR_7",
                vrid=7,
                interface="ha-0",
                priority=50,
                advert_int=2.0,
                preempt=False,
                virtual_addresses=(
                    address("169.254.0.7/24", "ha-0"),
                    address("10.0.0.1/24", "qr-0", True),
                    address("203.0.113.50/24", "qg-0", True),
                    address("fd00:203:0:113::50/64", "qg-0", True),
                ),
                virtual_routes=(
                    route("0.0.0.0/0", "203.0.113.1", "qg-0"),
                    route("::/0", "fd00:203:0:113::1", "qg-0"),
                ),
                track_files=(("havrrpd", None),),
                track_scripts=("ha_health_check_7",),
                authentication=password(b"abcdefgh"),
            ),
        ),
        track_files=(TrackFile("havrrpd", f"/run/havrrpd/levers/{ROUTER}", 1, 0),),
        notify_fifo=f"/run/havrrpd/notify/{ROUTER}",
        notify_fifo_user="root",
    )


def test_a_sync_group_of_two_families_in_version_3() -> None:
    assert sample("sync_group.conf") == KeepalivedConfig(
        instances=(
            InstanceConfig(
                name="V4",
                vrid=51,
                interface="eth0",
                priority=150,
                version=3,
                advert_int=0.25,
                virtual_addresses=(
                    address("192.0.2.1/32", "eth0"),
                    address("192.0.2.129/25", "eth1"),
                ),
                track_files=(("lever", 0),),
                sync_group="G1",
            ),
            InstanceConfig(
                name="V6",
                vrid=51,
                interface="eth0",
                version=3,
                virtual_addresses=(
                    address("fe80::5:1/64", "eth0"),
                    address("2001:db8::1/64", "eth1"),
                ),
                virtual_routes=(
                    route("::/0", "fe80::1", "eth0"),
                    route("2001:db8:ff::/48", "2001:db8::fe"),
                ),
                track_files=(("lever", 0),),
                sync_group="G1",
            ),
        ),
        sync_groups=(SyncGroup("G1", ("V4", "V6")),),
        track_files=(TrackFile("lever", "/var/lib/lever", -2),),
        notify_fifo="/run/keepalived/fifo",
        net_namespace="edge",
    )


def test_in_a_sync_group_only_the_weights_of_a_group_that_asks_for_them_count() -> None:
    for asked, weight in (("", 0), ("sync_group_tracking_weight", 1)):
        text = f"""
        vrrp_sync_group G {{
            group {{
                A
            }}
            {asked}
            track_file {{
                lever weight 1
            }}
        }}
        vrrp_instance A {{
            interface eth0
            virtual_router_id 1
            track_file {{
                own weight 5
            }}
        }}
        """
        instance = parse(text).instances[0]
        assert instance.track_files == (("own", 0), ("lever", weight))


def test_unicast_peers_every_kind_of_route_and_what_keepalived_refuses() -> None:
    assert sample("unicast.conf") == KeepalivedConfig(
        instances=(
            InstanceConfig(
                name="cloud",
                vrid=1,
                interface="ens5",
                priority=255,
                virtual_addresses=(
                    address("10.20.0.100/24", "ens5"),
                    address("10.20.0.101/32", "ens5"),
                ),
                virtual_routes=(
                    route("198.51.100.0/24", "10.20.0.1", "ens5"),
                    route("203.0.113.0/24", None, "ens5"),
                    route("203.0.113.128/25", "10.20.0.1", "ens5"),
                    route("203.0.113.128/25", "10.20.0.2", "ens5"),
                    route("192.0.2.0/24"),
                    route("0.0.0.0/0", "10.20.0.1"),
                ),
                unicast_peers=(ip_address("10.20.0.5"), ip_address("10.20.0.6")),
                track_files=(("old_style", -20),),
            ),
        ),
        track_files=(TrackFile("old_style", "/var/lib/old style", 1),),
        skipped=4,  # a peer, an address of the other family, a route, a keyword
    )


def test_a_load_balancers_virtual_servers_are_passed_over_without_a_count() -> None:
    assert sample("load_balancer.conf") == KeepalivedConfig(
        instances=(
            InstanceConfig(
                name="VI_1",
                vrid=51,
                interface="eth0",
                priority=101,
                virtual_addresses=(address("203.0.113.10/24", "eth0"),),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("config_id", "priority", "list_priority"), [("main", 240, 77), ("other", 200, 100)]
)
def test_every_macro(config_id: str, priority: int, list_priority: int) -> None:
    assert sample("macros.conf", config_id) == KeepalivedConfig(
        instances=(
            InstanceConfig(
                name="VI_1",
                vrid=1,
                interface="bond0.1",
                priority=priority,
                virtual_addresses=(address("10.2.0.1/24", "bond0.1"),),
                track_files=(("offset_1", None),),
            ),
            InstanceConfig(
                name="VI_2",
                vrid=2,
                interface="bond0.2",
                priority=priority,
                virtual_addresses=(address("10.2.10.2/24", "bond0.2"),),
                track_files=(("offset_2", None),),
            ),
            InstanceConfig(
                name="lists",
                vrid=9,
                interface="eth0",
                priority=list_priority,
                advert_int=3.0,
                virtual_addresses=(
                    *(address(f"10.3.0.{number}/32", "eth0") for number in (1, 3, 5)),
                    *(address("10.3.1.1/32", "eth0") for _ in range(3)),
                    address("10.10.1.7/24", "eth0"),
                    address("10.10.1.8/24", "eth0"),
                    address("10.20.4.7/24", "eth0"),
                    address("10.20.4.8/24", "eth0"),
                    address("fd00::1/64", "eth1", True),
                    address("fd00::2/64", "eth1", True),
                ),
            ),
        ),
        track_files=(
            TrackFile("offset_1", f"/etc/keepalived/track/{config_id}.1", 1),
            TrackFile("offset_2", f"/etc/keepalived/track/{config_id}.2", 1),
        ),
    )


# --- defaults and corrections of keepalived ---


def test_an_instance_without_more_has_keepaliveds_defaults() -> None:
    assert only("") == InstanceConfig(name="V", vrid=1, interface="eth0")


@pytest.mark.parametrize(
    ("body", "priority"),
    [("state MASTER", 255), ("state BACKUP", 100), ("priority 254", 254), ("priority 256", 100)],
)
def test_the_priority_follows_the_state_where_none_is_given(body: str, priority: int) -> None:
    assert only(body).priority == priority


@pytest.mark.parametrize(
    ("body", "preempt"),
    [
        ("", True),
        ("nopreempt", False),
        ("nopreempt\npreempt", True),
        ("nopreempt\npriority 255", True),
    ],
)
def test_nopreempt_holds_unless_the_instance_starts_as_master(body: str, preempt: bool) -> None:
    assert only(body).preempt is preempt


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ("", 2),
        ("version 3\nvirtual_ipaddress {\n10.0.0.1\n}", 3),
        ("virtual_ipaddress {\nfe80::1\n}", 3),
        ("native_ipv6\nvirtual_ipaddress {\nfe80::1\n}", 3),
        ("unicast_peer {\nfe80::2\n}\nvirtual_ipaddress {\nfe80::1\n}", 3),
        ("version 4", 2),
    ],
)
def test_the_version_is_said_or_follows_the_family(body: str, version: int) -> None:
    assert only(body).version == version


@pytest.mark.parametrize(
    ("version", "said", "advert_int"),
    [(2, "1.4", 1.0), (2, "0.2", 1.0), (2, "1.5", 2.0), (3, "0.333", 0.33), (3, "60", 40.95)],
)
def test_the_interval_is_rounded_to_what_fits_in_an_advert(
    version: int, said: str, advert_int: float
) -> None:
    body = f"version {version}\nadvert_int {said}\nvirtual_ipaddress {{\n10.0.0.1\n}}"
    assert only(body).advert_int == advert_int


def test_addresses_go_to_the_virtual_mac_interface_and_the_instance_stays() -> None:
    instance = only("use_vmac\nvirtual_ipaddress {\n10.0.0.1\n10.0.0.2 dev eth5\n}")
    assert instance.interface == "eth0"
    assert [each.interface for each in instance.virtual_addresses] == ["vrrp.1", "eth5"]


@pytest.mark.parametrize(
    ("line", "initial", "overwrite"),
    [
        ("", None, False),
        ("init_file", 0, False),
        ("init_file -40", -40, False),
        ("init_file overwrite 3", 3, True),
        ("init_file 3 overwrite", 3, True),
        ("init_file nonsense", 0, False),
    ],
)
def test_what_a_track_file_is_made_with(line: str, initial: int | None, overwrite: bool) -> None:
    config = parse(f"track_file a {{\nfile /a\n{line}\n}}")
    assert config == KeepalivedConfig(track_files=(TrackFile("a", "/a", 1, initial, overwrite),))


@pytest.mark.parametrize(
    ("body", "authentication"),
    [
        ("", ""),
        ("authentication {\nauth_type PASS\nauth_pass one\n}", password(b"one")),
        ("authentication {\nauth_type AH\nauth_pass one\n}", AH),
        ("authentication {\nauth_type MD5\nauth_pass one\n}", ""),
        (
            "version 3\nvirtual_ipaddress {\n10.0.0.1\n}\n"
            "authentication {\nauth_type PASS\nauth_pass one\n}",
            "",
        ),
    ],
)
def test_the_authentication_is_kept_as_a_digest(body: str, authentication: str) -> None:
    assert only(body).authentication == authentication


def test_static_routes_are_noticed() -> None:
    text = "static_routes {\n0.0.0.0/0 via 192.0.2.1 dev eth0\n}"
    assert parse(text) == KeepalivedConfig(static_routes=True)


@pytest.mark.parametrize(
    "text",
    [
        "vrrp_instance V {\ninterface eth0\n}",
        "vrrp_instance V {\nvirtual_router_id 1\n}",
        "vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nversion 3\n}",
        "vrrp_instance {\ninterface eth0\nvirtual_router_id 1\n}",
        "track_file lever {\nweight 1\n}",
        "never_heard_of {\nvrrp_instance V {\ninterface eth0\n}\n}",
        "}",
    ],
)
def test_what_keepalived_leaves_out_is_left_out_and_counted(text: str) -> None:
    assert parse(text) == KeepalivedConfig(skipped=1)


@pytest.mark.parametrize(
    "text",
    [
        "track_file a {\nfile /a\0b\nfile /c\n}",
        "vrrp_instance a\0 {\ninterface eth0\n}\ntrack_file a {\nfile /c\n}",
        "include a\0b/*\ntrack_file a {\nfile /c\n}",
    ],
)
def test_a_line_with_a_nul_is_left_out_with_its_block_and_counted(text: str) -> None:
    expected = KeepalivedConfig(track_files=(TrackFile("a", "/c", 1),), skipped=1)
    assert parse(text, include=Files(Path("/"))) == expected


@pytest.mark.parametrize("name", ["sixteen-bytes-16", "a/b", '"a b"', '""'])
def test_what_no_interface_can_be_called_is_left_out_and_counted(name: str) -> None:
    body = f"""
    interface {name}
    use_vmac {name}
    virtual_ipaddress {{
        10.0.0.1 dev {name}
    }}
    virtual_routes {{
        10.0.0.0/8 dev {name}
    }}
    """
    instance = only(body)
    assert instance.interface == "eth0"
    assert instance.virtual_addresses == ()
    assert instance.virtual_routes == ()


def test_the_first_of_two_instances_with_one_name_counts() -> None:
    block = "vrrp_instance V {\ninterface eth0\nvirtual_router_id %d\n}\n"
    config = parse(block % 1 + block % 2)
    assert [instance.vrid for instance in config.instances] == [1]
    assert config.skipped == 1


# --- lines ---


@pytest.mark.parametrize(
    "text",
    [
        "vrrp_instance V{interface eth0\nvirtual_router_id 1}",
        "vrrp_instance V\r\n{\r\n\tinterface eth0\r\n\tvirtual_router_id 1\r\n}",
        'vrrp_instance "V" { # {\ninterface "eth0" ! }\nvirtual_router_id 1\n}',
        "@host vrrp_instance V {\n@^other interface eth0\n@other interface eth1\n"
        "virtual_router_id 1\n}",
    ],
)
def test_one_instance_in_many_spellings(text: str) -> None:
    expected = (InstanceConfig(name="V", vrid=1, interface="eth0"),)
    assert parse(text, config_id="host") == KeepalivedConfig(instances=expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("~SEQ(N, 3) 10.0.0.${N}", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("~SEQ(N,3,2) 10.0.0.${N}", ["10.0.0.3", "10.0.0.2"]),
        ("~SEQ(N,010,-4,0) 10.0.0.${N}", ["10.0.0.8", "10.0.0.4", "10.0.0.0"]),
        ("~SEQx(N,0x90,0x10,0xb0) fe80::${N}", ["fe80::90", "fe80::a0", "fe80::b0"]),
        ("~LST(N, 4, 7) 10.0.0.${N}", ["10.0.0.4", "10.0.0.7"]),
        ("~LST({A, B}, {1,2}, {3,4}) 10.0.${A}.${B}", ["10.0.1.2", "10.0.3.4"]),
        (
            "~SEQ(A,1,2) ~SEQ(B,1,2) 10.0.${A}.${B}",
            ["10.0.1.1", "10.0.1.2", "10.0.2.1", "10.0.2.2"],
        ),
        ("$A=2\n~SEQ(N, 1, $A) 10.0.0.${N}", ["10.0.0.1", "10.0.0.2"]),
        ("$A=10.0.0.1\n$A dev eth1", ["10.0.0.1"]),
        ("$A=10.0.0.${B}\n$B=5\n${A}", ["10.0.0.5"]),
        ("$A=\\\n10.0.0.1 \\\n10.0.0.2\n$A", ["10.0.0.1", "10.0.0.2"]),
        (
            "$A=\\\n10.0.0.${N} \\\n10.0.1.${N}\n~SEQ(N,1,2) $A",
            ["10.0.0.1", "10.0.1.1", "10.0.0.2", "10.0.1.2"],
        ),
    ],
)
def test_sequences_lists_and_definitions(body: str, expected: list[str]) -> None:
    assert addresses(body) == expected


@pytest.mark.parametrize(
    "line",
    ["~SEQ(N, 1, 0, 5) a", "~SEQ(N) a", "~SEQ(N, x) a", "~LST(N) a", "~LST({A},{1,2}) a", "~SEQ"],
)
def test_a_malformed_repetition_is_counted(line: str) -> None:
    assert parse(line).skipped == 1


def test_an_escaped_comment_character_is_literal() -> None:
    text = 'track_file t {\nfile /a\\#b # c\n}\ntrack_file u {\nfile "/a#b" ! c\n}'
    assert [file.path for file in parse(text).track_files] == ["/a#b", "/a#b"]


def test_included_files_are_read_where_they_stand_and_relative_to_the_including_one() -> None:
    files = {
        "/etc/k/sub/one.conf": "vrrp_instance V {\nincluder two.conf\n",
        "/etc/k/sub/two.conf": "interface eth0\nvirtual_router_id 1\n",
    }
    config = parse(
        "include sub/one.conf\npriority 7\n}\ninclude none.conf\n",
        path="/etc/k/keepalived.conf",
        include=lambda pattern: [(pattern, files[pattern])] if pattern in files else [],
    )
    assert config == KeepalivedConfig(
        instances=(InstanceConfig(name="V", vrid=1, interface="eth0", priority=7),), skipped=1
    )


def test_the_copy_in_keepaliveds_memory_says_where_each_file_begins_and_ends() -> None:
    text = (
        "# /etc/k/keepalived.conf\n# sub/one.conf\ntrack_file a {\nfile ${_PWD}/a\n}\n!\n"
        "track_file b {\nfile ${_PWD}/b\n}\n!\n"
    )
    config = parse(text, consolidated=True)
    assert [file.path for file in config.track_files] == ["/etc/k/sub/a", "/etc/k/b"]


# --- any text at all ---

_PIECES = st.sampled_from(
    [
        *'{}$~@!#"\\ \n\t,()=%/',
        "vrrp_instance V ",
        "interface eth0\n",
        "virtual_router_id 1\n",
        "virtual_ipaddress {\n",
        "virtual_routes {\n",
        "unicast_peer {\n",
        "track_file {\n",
        "10.0.0.1",
        "fe80::1%eth0",
        " via ",
        " dev ",
        "$A=",
        "${A}",
        "$A",
        "~SEQ(A,1,999999999999)",
        "~LST({A,B},{1},2)",
        "include *\n",
        "weight ",
        "advert_int ",
        "priority ",
        "\u00b2",
        "1e9",
        "nan",
        "\0",
    ]
)


@settings(deadline=None)  # some texts use up all the steps
@given(st.one_of(st.text(), st.lists(_PIECES, max_size=40).map("".join)), st.booleans())
def test_any_text_gives_a_configuration(text: str, consolidated: bool) -> None:
    config = parse(text, include=lambda pattern: [(pattern, text)], consolidated=consolidated)
    assert isinstance(config, KeepalivedConfig)


@pytest.mark.parametrize(
    "text",
    [
        "~SEQ(A,1,9999999999) ~SEQ(B,1,9999999999) x",
        "$A=${A}${A}\n${A}",
        "$A=\\\n$A \\\n$A\n$A",
        "{" * 100_000,
        "x" * 1_000_000,
        "include me",
        "~SEQ(i,1,1000000) " + "a " * 1900,
        "$A=" + "a " * 1900 + "\n~SEQ(i,1,1000000) $A",
        "~SEQ(i,1,1000000) " + "{" * 3900,
    ],
)
def test_text_that_would_grow_without_end_is_cut_and_counted(text: str) -> None:
    began = time.process_time()
    assert parse(text, include=lambda pattern: [(pattern, text)]).skipped > 0
    assert time.process_time() - began < 4.0  # it takes half a second
