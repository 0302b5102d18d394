"""What each decode has to hold to, whatever bytes it gets. Each target takes one input.

Only the error that a decode documents may come out of it; what it returns has to make sense, and
where there is an encoder, it has to lead back. Whoever calls these watches that none takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from havrrpd import config
from havrrpd.core.messages import StateNotified
from havrrpd.core.model import InstanceConfig, KeepalivedConfig
from havrrpd.sources.adverts import Advert, decode
from havrrpd.sources.adverts.oddities import differences
from havrrpd.sources.gateway import arp, icmp, kernel, ndp, routes
from havrrpd.sources.keepalived import conf, lines, listeners, proc
from havrrpd.sources.netlink import decode as netlink
from havrrpd.sources.notify import Line, LineBuffer
from havrrpd.sources.notify import decode as decode_line
from havrrpd.sources.notify.decode import MAX_LINE, latest
from tests.fuzz import seeds

STEPS, FEW_STEPS = lines.MAX_STEPS, 1000  # the most is taken by too many inputs to try many others
VRIDS = frozenset(range(1, 256))
OURS = (InstanceConfig("VR_7", 7, "ha-0"), InstanceConfig("VR_8", 8, "ha-0", version=3))
_NETLINK_KINDS = (16, 17, 18, 20, 21, 22, 88, 89, 90, 2, 3)


@dataclass(frozen=True)
class Target:
    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]


def check_netlink(data: bytes) -> None:
    """As it is; and as the body of a message of each kind that is of interest."""
    _netlink_datagram(data)
    kind = _NETLINK_KINDS[data[0] % len(_NETLINK_KINDS)] if data else 0
    _netlink_datagram(_message(kind, data[1:]))


def _netlink_datagram(data: bytes) -> None:
    try:
        packets = list(netlink.split(data))
    except netlink.MalformedError:
        return
    assert b"".join(packet.data for packet in packets) in data or len(packets) > 1
    for packet in packets:
        netlink.error_of(packet)
        for read in (netlink.decode, netlink.nsid_of):
            try:
                said = read(packet)
            except netlink.MalformedError:
                continue
            if isinstance(said, netlink.LinkSeen):
                assert said.interface
            if isinstance(said, netlink.AddressSeen | netlink.AddressLost):
                assert said.address.network.prefixlen <= said.address.max_prefixlen


def _message(kind: int, body: bytes) -> bytes:
    size = (16 + len(body)).to_bytes(4, "little")
    return size + kind.to_bytes(2, "little") + bytes(10) + body


def check_adverts(data: bytes) -> None:
    """As it is; and with right checksums, behind which the rest of the decoding is."""
    _advert(data)
    _advert(_summed(data))


def _advert(packet: bytes) -> None:
    found = decode(packet, VRIDS)
    if not isinstance(found, Advert):
        return
    assert 1 <= found.vrid <= 255
    assert 0 <= found.priority <= 255
    assert 0 < found.advert_int <= 255
    assert found.version in (2, 3)
    assert found.source.version == found.destination.version
    differences(found, OURS)
    differences(found, ())


def _summed(packet: bytes) -> bytes:
    """The packet with the checksums of IPv4 and of VRRP put right, if it has these headers."""
    if len(packet) < 48 or packet[0] != 0x45:
        return packet
    whole = bytearray(packet)
    whole[2:4] = len(whole).to_bytes(2, "big")
    whole[10:12] = bytes(2)
    whole[10:12] = _sum(bytes(whole[:20]))
    whole[26:28] = bytes(2)
    whole[26:28] = _sum(bytes(whole[20:]))
    return bytes(whole)


def _sum(data: bytes) -> bytes:
    padded = data + b"\0" * (len(data) % 2)
    return (-int.from_bytes(padded, "big") % 0xFFFF).to_bytes(2, "big")


def check_notify(data: bytes) -> None:
    """Lines are the same however the bytes are cut, and a state leads back to its line."""
    cut = data[0] if data else 0
    whole, parts = LineBuffer(), LineBuffer()
    found, overlong = whole.feed(data)
    early, first = parts.feed(data[:cut])
    late, second = parts.feed(data[cut:])
    assert (found, overlong) == (early + late, first + second)
    states = []
    for line in found:
        assert len(line) <= MAX_LINE
        said = decode_line(line)
        assert isinstance(said, StateNotified | Line)
        if isinstance(said, StateNotified):
            again = f'INSTANCE "{said.instance}" {said.word} {said.priority}'
            assert decode_line(again.encode()) == said
            states.append(said)
    assert len(latest(states)) == len({state.instance for state in states})


def check_keepalived_conf(data: bytes) -> None:
    """Any text gives a configuration, of which each instance could be keepalived's."""
    consolidated = bool(data) and data[0] % 2 == 1
    lines.MAX_STEPS = STEPS if bool(data) and data[-1] % 64 == 0 else FEW_STEPS
    text = data.decode(errors="replace")
    found = conf.parse(
        text, config_id="network1", include=seeds.included, consolidated=consolidated
    )
    assert isinstance(found, KeepalivedConfig)
    assert found.skipped >= 0
    names = [instance.name for instance in found.instances]
    assert len(set(names)) == len(names)
    for instance in found.instances:
        assert 1 <= instance.vrid <= 255
        assert instance.interface
        assert 1 <= instance.priority <= 255
        assert instance.version in (2, 3)
        assert 0.01 <= instance.advert_int <= 255
        assert instance.active_down_interval > 0
        assert all(virtual.interface for virtual in instance.virtual_addresses)
    for file in found.track_files:
        assert file.path


def check_proc(data: bytes) -> None:
    """/proc files; those of a process raise ValueError for what the kernel would not write."""
    text = data.decode(errors="replace")
    proc.decode_command_line(text.rstrip("\0").split("\0"))
    for read in (proc.decode_stat, proc.decode_effective_uid, listeners.decode_link_listeners):
        try:
            read(text)
        except ValueError:
            continue
    for gateway in (*routes.decode_ipv4(text.splitlines()), *routes.decode_ipv6(text.splitlines())):
        assert int(gateway.address) > 0
        assert gateway.interface


def check_replies(data: bytes) -> None:
    """ICMP, ARP, NDP and the kernel's answers: a request is no reply, a reply leads back."""
    own4, own6 = IPv4Address("203.0.113.50"), IPv6Address("fd00::50")
    icmp.decode_ipv4(data)
    icmp.decode_ipv6(data, own6, own6, 0)
    arp.decode_reply(data)
    ndp.decode_advertisement(data, own6, data[0] if data else 255)
    ndp.decode_advertisement(data, own6, ndp.HOP_LIMIT)
    for message in kernel.decode(data):
        message.attributes(8)
    identifier, sequence = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
    request = icmp.encode_request(4, identifier, sequence)
    assert icmp.decode_ipv4(_ipv4(request, own4)) is None
    reply = b"\0\0\0\0" + request[4:]
    reply = reply[:2] + _sum(reply) + reply[4:]
    expected = icmp.EchoReply(own4, own4, identifier, sequence)
    assert icmp.decode_ipv4(_ipv4(reply, own4)) == expected
    asked = icmp.encode_request(6, identifier, sequence)
    assert icmp.decode_ipv6(asked, own6, own6, 0) is None
    answer = icmp.decode_ipv6(b"\x81" + asked[1:], own6, own6, 3)
    assert answer == icmp.EchoReply(own6, own6, identifier, sequence, 3)
    mac, target = (data + bytes(22))[:6], (data + bytes(22))[6:22]
    who_has = arp.encode_request(mac, own4, IPv4Address(target[:4]))
    assert arp.decode_reply(who_has) is None
    is_at = who_has[:7] + b"\2" + mac + target[:4] + mac + own4.packed
    assert arp.decode_reply(is_at) == ndp.NeighbourReply("arp", IPv4Address(target[:4]), own4)
    solicitation = ndp.encode_solicitation(mac, IPv6Address(target))
    assert ndp.decode_advertisement(solicitation, own6, ndp.HOP_LIMIT) is None
    advertisement = b"\x88" + solicitation[1:4] + b"\x40" + solicitation[5:]
    told = ndp.decode_advertisement(advertisement, own6, ndp.HOP_LIMIT)
    assert told == ndp.NeighbourReply("ndp", IPv6Address(target), own6)


def _ipv4(message: bytes, source: IPv4Address) -> bytes:
    size = (20 + len(message)).to_bytes(2, "big")
    return b"\x45\0" + size + bytes(5) + b"\1" + bytes(2) + source.packed * 2 + message


def check_config(data: bytes) -> None:
    """A configuration or one ConfigError that names the file; what is dumped reads the same."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return  # `load` has said so
    problems: tuple[str, ...] | None = None
    try:
        found = config.parse(text, "f")
    except config.ConfigError as error:
        problems = error.problems
    if problems is None:
        assert config.parse(config.dump(found), "g") == found
    else:
        assert problems
        assert all(problem.startswith("f: ") for problem in problems)


TARGETS = {
    target.name: target
    for target in (
        Target("netlink", check_netlink, seeds.netlink),
        Target("adverts", check_adverts, seeds.adverts),
        Target("notify", check_notify, seeds.notify),
        Target("keepalived_conf", check_keepalived_conf, seeds.keepalived_conf),
        Target("proc", check_proc, seeds.proc),
        Target("replies", check_replies, seeds.replies),
        Target("config", check_config, seeds.config),
    )
}
