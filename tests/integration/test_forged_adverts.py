"""Somebody on the HA network sends adverts that nobody asked for: it is said, and nothing moves."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

import pytest

from havrrpd.lab.lab import Lab
from havrrpd.lab.router import Router
from havrrpd.lab.steady import router_at, wait_steady
from havrrpd.lab.waiting import wait_until

pytestmark = pytest.mark.root

STRANGER = IPv4Address("169.254.192.99")
GROUP = IPv4Address("224.0.0.18")


def advert(router: Router, priority: int) -> bytes:
    """A packet of VRRP version 2, right in everything but its sender. The kernel adds IP's sum."""
    address = IPv4Address(router.virtual_address.split("/")[0])
    message = struct.pack("!BBBBBBH", 0x21, router.vrid, priority, 1, 0, 1, 0)
    message += address.packed + bytes(8)
    checksum = -int.from_bytes(message, "big") % 0xFFFF
    message = message[:6] + checksum.to_bytes(2, "big") + message[8:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 255, 112, 0)
    return header + STRANGER.packed + GROUP.packed + message


def transitions(lab: Lab, name: str, router: str) -> int:
    return sum(each["transitions"] for each in router_at(lab, name, router)["instances"])


def test_a_forged_advert_raises_duplicate_master_and_moves_nothing() -> None:
    with Lab(nodes=2) as lab:
        router = lab.routers[0]
        master = wait_steady(lab)[router.id]
        other = next(name for name in lab.names if name != master)
        levers = {n: lab.node(n).path(f"/run/havrrpd/levers/{router.id}") for n in lab.names}
        before = {n: (transitions(lab, n, router.id), levers[n].read_text()) for n in lab.names}
        sender = lab.node(other).inside(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            router.namespace,
        )
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, router.ha.encode())

            def said() -> bool:
                for priority in (1, 16, 100):  # any, but none above the MASTER's own
                    sender.sendto(advert(router, priority), (str(GROUP), 0))
                shown = router_at(lab, master, router.id)["instances"][0]
                return "duplicate_master" in shown["problems"]

            wait_until(said, 10.0, "duplicate_master", every=0.2)
            heard = router_at(lab, master, router.id)["instances"][0]["masters_heard"]
            assert [each["address"] for each in heard] == [str(STRANGER)]
        assert wait_steady(lab)[router.id] == master
        after = {n: (transitions(lab, n, router.id), levers[n].read_text()) for n in lab.names}
        assert after == before
