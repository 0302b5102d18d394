"""Faults of addresses, links, namespaces and of what carries the adverts."""

from __future__ import annotations

from collections.abc import Iterator

from havrrpd.lab.router import make_script
from tests.faults.place import Place, inner_pid
from tests.faults.registry import fault


@fault("addresses_flushed")
def addresses_flushed(place: Place) -> Iterator[None]:
    place.inside(f"ip address flush dev {place.router.ha}")
    yield
    place.inside(f"ip address add {place.ha_address} dev {place.router.ha}")


@fault("excluded_deleted")
def excluded_deleted(place: Place) -> Iterator[None]:
    address, interface = place.router.excluded_addresses[0]
    place.inside(f"ip address delete {address} dev {interface}")
    yield
    place.inside(f"ip address add {address} dev {interface}")


@fault("link_down")
def link_down(place: Place) -> Iterator[None]:
    place.inside(f"ip link set {place.router.ha} down")
    yield
    place.inside(f"ip link set {place.router.ha} up")


@fault("link_deleted")
def link_deleted(place: Place) -> Iterator[None]:
    place.inside(f"ip link delete {place.router.ha}")
    yield
    place.lay_ha_port()
    place.keepalived.stop()  # 2.2.7 would be BACKUP for ever: on the new link it has no socket
    place.start_keepalived()


@fault("cut")
def cut(place: Place) -> Iterator[None]:
    """The port keeps its carrier: only what is behind it forwards nothing."""
    place.node.exec(["ip", "link", "set", place.ha_tap, "nomaster"])
    yield
    place.node.exec(["ip", "link", "set", place.ha_tap, "master", place.ha_bridge])


@fault("namespace_unnamed")
def namespace_unnamed(place: Place) -> Iterator[None]:
    """`ip netns delete`: the namespace itself lives as long as keepalived in it."""
    place.node.exec(["ip", "netns", "delete", place.router.namespace])
    yield
    pid = inner_pid(place.child())
    place.node.exec(["ip", "netns", "attach", place.router.namespace, str(pid)])


@fault("namespace_deleted")
def namespace_deleted(place: Place) -> Iterator[None]:
    """With keepalived in it, as Neutron removes a router."""
    place.keepalived.kill()
    place.node.exec(["ip", "netns", "delete", place.router.namespace])
    yield
    place.wait_tap_gone()
    place.node.shell(make_script(place.router, place.lab.names.index(place.name) + 1))
    place.start_keepalived()
