"""Faults of keepalived's processes, and of what it is told."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from havrrpd.lab.waiting import wait_until
from tests.faults.place import Place
from tests.faults.registry import fault


@fault("child_killed")
def child_killed(place: Place) -> Iterator[None]:
    """Between two adverts: the main process starts another one, which is behind the others."""
    place.wait_between_adverts()
    place.begins()
    place.send_child(signal.SIGKILL)
    yield


@fault("main_killed")
def main_killed(place: Place) -> Iterator[None]:
    place.keepalived.process.signal(signal.SIGKILL)
    yield
    place.start_keepalived()


@fault("both_killed")
def both_killed(place: Place) -> Iterator[None]:
    place.keepalived.kill()
    yield
    place.start_keepalived()


@fault("main_stopped")
def main_stopped(place: Place) -> Iterator[None]:
    place.keepalived.process.signal(signal.SIGSTOP)
    yield
    place.keepalived.process.signal(signal.SIGCONT)


@fault("child_stopped")
def child_stopped(place: Place) -> Iterator[None]:
    place.send_child(signal.SIGSTOP)
    yield
    place.send_child(signal.SIGCONT)


@fault("both_stopped")
def both_stopped(place: Place) -> Iterator[None]:
    place.keepalived.pause()
    yield
    place.keepalived.resume()


@fault("stopped")
def stopped(place: Place) -> Iterator[None]:
    place.keepalived.stop()
    yield
    place.start_keepalived()


# A package manager renames the new file over the old one: what runs has no name any more.
_LAY_OVER = """
mkdir -p /run/sbin/upper /run/sbin/work
mount -t overlay -o lowerdir=/usr/sbin,upperdir=/run/sbin/upper,workdir=/run/sbin/work \\
    overlay /usr/sbin
"""
_UPGRADE = """
cp /usr/sbin/keepalived /usr/sbin/keepalived.dpkg-new
mv /usr/sbin/keepalived.dpkg-new /usr/sbin/keepalived
"""


@fault("upgraded")
def upgraded(place: Place) -> Iterator[None]:
    place.node.shell(_LAY_OVER)
    try:
        place.node.shell(_UPGRADE)
        place.begins()
        place.keepalived.stop()
        yield
        place.start_keepalived()
        place.node.shell(_UPGRADE)
    finally:
        place.node.shell("umount --lazy /usr/sbin")


# --- reloads ---


@fault("reloaded")
def reloaded(place: Place) -> Iterator[None]:
    """With one address more."""
    more = f"    virtual_ipaddress_excluded {{\n        198.51.100.200/32 dev {place.router.qr}"
    text = place.configured.replace("    virtual_ipaddress_excluded {", f"{more} no_track")
    place.configure(text)
    wait_until(lambda: _shows(place, "198.51.100.200/32"), 3.0, "the new address")
    yield
    place.configure(place.configured)


def _shows(place: Place, address: str) -> bool:
    (instance,) = place.shown()["instances"]
    shown = {a["address"]: a["present"] for a in instance["virtual_addresses"]}
    return bool(shown.get(address))


@fault("reloaded_broken")
def reloaded_broken(place: Place) -> Iterator[None]:
    """Cut off in the middle, as a full disk leaves it."""
    text = place.configured
    place.conf.write_text(text[: text.index("    interface")])
    place.keepalived.reload()
    yield
    if not place.keepalived.running:
        place.conf.write_text(text)
        place.start_keepalived()
    else:
        place.configure(text)


@fault("reloaded_renamed")
def reloaded_renamed(place: Place) -> Iterator[None]:
    place.configure(
        place.configured.replace(f"vrrp_instance {place.instance}", "vrrp_instance VR_new")
    )
    yield
    place.configure(place.configured)


@fault("reloaded_vrid")
def reloaded_vrid(place: Place) -> Iterator[None]:
    vrid = place.router.vrid
    other = place.configured.replace(f"virtual_router_id {vrid}", f"virtual_router_id {vrid + 100}")
    place.configure(other)
    yield
    place.configure(place.configured)


@fault("unequal_advert_int")
def unequal_advert_int(place: Place) -> Iterator[None]:
    own = f"advert_int {place.lab.plan.advert_int:g}"
    place.configure(place.configured.replace(own, f"advert_int {place.lab.plan.advert_int + 1:g}"))
    yield
    place.configure(place.configured)
