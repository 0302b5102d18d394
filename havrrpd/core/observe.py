"""Events into records: what was seen, before anything is concluded from it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from havrrpd.core import wire
from havrrpd.core.messages import (
    AddressAdded,
    AddressRemoved,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    DefaultRoutesListed,
    DrainChanged,
    Event,
    FailoverRequested,
    GatewayProbed,
    KeepalivedAbsent,
    KeepalivedEnded,
    KeepalivedReloaded,
    KeepalivedStarted,
    KernelListed,
    LinkChanged,
    LinkRemoved,
    NotifyWatched,
    SettingsChanged,
    StandingFailed,
    StandingRead,
    StandingWritten,
    StateNotified,
    Stopping,
    UplinksChanged,
    WireWatched,
)
from havrrpd.core.model import (
    LAST_WORDS,
    Evidence,
    Instance,
    InstanceConfig,
    IPInterface,
    KeepalivedConfig,
    Router,
    State,
    VirtualAddress,
    Word,
)
from havrrpd.core.priority import effective_priority


def observe(router: Router, event: Event, now: float) -> Router:
    """The router with the fact recorded."""
    match event:
        case AdvertSent() | AdvertHeard():
            return _advert(router, event, now)
        case KeepalivedStarted():
            return _started(router, event, now)
        case KeepalivedAbsent(namespace, config):
            return _configured(replace(router, namespace=namespace), config, now)
        case KeepalivedReloaded(config):
            return _configured(router, config, now)
        case KeepalivedEnded(pid):
            return replace(router, pid=None) if router.pid == pid else router
        case KernelListed(links, addresses):
            listed = replace(router, listed=True, links=dict(links), addresses=addresses)
            return _each(listed, lambda i: _listed(i, listed, now))
        case LinkChanged(interface, up):
            return _link(replace(router, links={**router.links, interface: up}), interface, up, now)
        case LinkRemoved(interface):
            return _link_removed(router, interface, now)
        case AddressAdded(interface, address):
            added = replace(router, addresses=router.addresses | {(interface, address)})
            return _virtual(added, interface, address, lambda i, v: _added(i, v, now))
        case AddressRemoved(interface, address):
            removed = replace(router, addresses=router.addresses - {(interface, address)})
            removed = _each(removed, lambda i: _own_removed(i, interface, address, now))
            return _virtual(removed, interface, address, lambda i, v: _removed(i, v, now))
        case UplinksChanged(down):
            changed = replace(router, uplinks_down=down)
            return _each(changed, lambda i: _with_link_down(i, now)) if down else changed
        case NotifyWatched(watched):
            router = replace(router, notify_watched=watched)
            return router if watched else _each(router, _unheard)
        case StateNotified(name, word):
            return _each(router, lambda i: _said(i, word, now) if i.config.name == name else i)
        case WireWatched(watched):
            return replace(router, wire_watched=watched, wire_since=now)
        case SettingsChanged(settings):
            return replace(router, settings=settings)
        case (
            GatewayProbed()
            | DefaultRoutesListed()
            | FailoverRequested()
            | DrainChanged()
            | StandingRead()
            | StandingWritten()
            | StandingFailed()
            | DeadlinePassed()
            | Stopping()
        ):
            return router


def _each(router: Router, change: Callable[[Instance], Instance]) -> Router:
    return replace(router, instances=tuple(change(i) for i in router.instances))


def _started(router: Router, event: KeepalivedStarted, now: float) -> Router:
    since = event.running_since
    router = replace(router, pid=event.pid, running_since=since, namespace=event.namespace)
    router = _configured(router, event.config, now)

    def fresh(instance: Instance) -> Instance:
        # the FIFO can be quicker than discovery: what the new process said already stays
        is_its_own = instance.word_at >= event.running_since
        return replace(
            instance,
            word=instance.word if is_its_own else None,
            priority_seen=None,
            evidence=replace(instance.evidence, process_started=event.running_since),
        )

    return _each(router, fresh)


def _configured(router: Router, config: KeepalivedConfig, now: float) -> Router:
    """Instances keep what is known of them where name, VRID and interface are still the same."""
    known = {_identity(i.config): i for i in router.instances}
    began = Evidence(process_started=router.running_since)

    def made(c: InstanceConfig) -> Instance:
        instance = known.get(_identity(c)) or Instance(c, since=now, evidence=began)
        return replace(instance, config=c, present=_present(c, router.addresses))

    return replace(router, config=config, instances=tuple(made(c) for c in config.instances))


def _identity(config: InstanceConfig) -> tuple[str, int, str]:
    return config.name, config.vrid, config.interface


def _listed(instance: Instance, router: Router, now: float) -> Instance:
    """A listing is evidence as well: what it lacks went while nobody could look."""
    present = _present(instance.config, router.addresses)
    evidence = instance.evidence
    if instance.state is State.MASTER and instance.present - present:
        evidence = replace(evidence, address_removed=now)
    if not router.links.get(instance.config.interface, False):
        evidence = replace(evidence, link_down=now)
    return replace(instance, present=present, evidence=evidence, kernel_at=now)


def _with_link_down(instance: Instance, now: float) -> Instance:
    return replace(instance, evidence=replace(instance.evidence, link_down=now), kernel_at=now)


def _said(instance: Instance, word: Word, now: float) -> Instance:
    return replace(instance, word=word, word_at=now)


def _unheard(instance: Instance) -> Instance:
    """What keepalived said last is no witness any more, unless it was its last word."""
    last = instance.word in LAST_WORDS
    return instance if last else replace(instance, word=None)


def _present(
    config: InstanceConfig, addresses: frozenset[tuple[str, IPInterface]]
) -> frozenset[VirtualAddress]:
    return frozenset(v for v in config.virtual_addresses if (v.interface, v.address) in addresses)


def _link(router: Router, interface: str, up: bool, now: float) -> Router:
    if up:
        return _each(router, lambda i: _link_found(i, interface, now))
    return _each(router, lambda i: _link_lost(i, interface, now))


def _link_lost(instance: Instance, interface: str, now: float) -> Instance:
    used = interface in instance.config.interfaces
    return _with_link_down(instance, now) if used else instance


def _link_found(instance: Instance, interface: str, now: float) -> Instance:
    used = interface in instance.config.interfaces
    return replace(instance, kernel_at=now) if used else instance


def _link_removed(router: Router, interface: str, now: float) -> Router:
    """The kernel removes the addresses of an interface with it, and need not say so."""
    links = {name: up for name, up in router.links.items() if name != interface}
    addresses = frozenset(a for a in router.addresses if a[0] != interface)
    router = replace(router, links=links, addresses=addresses)
    router = _each(router, lambda i: replace(i, present=_present(i.config, addresses)))
    return _each(router, lambda i: _link_lost(i, interface, now))


def _virtual(
    router: Router,
    interface: str,
    address: IPInterface,
    change: Callable[[Instance, VirtualAddress], Instance],
) -> Router:
    def changed(instance: Instance) -> Instance:
        for virtual in instance.config.virtual_addresses:
            if virtual.address == address and virtual.interface == interface:
                return change(instance, virtual)
        return instance

    return _each(router, changed)


def _added(instance: Instance, virtual: VirtualAddress, now: float) -> Instance:
    return replace(instance, present=instance.present | {virtual}, kernel_at=now)


def _removed(instance: Instance, virtual: VirtualAddress, now: float) -> Instance:
    if instance.state is State.MASTER:
        instance = _with_address_removed(instance, now)
    return replace(instance, present=instance.present - {virtual}, kernel_at=now)


def _own_removed(instance: Instance, interface: str, address: IPInterface, now: float) -> Instance:
    """An address that the node has there itself, to send adverts from."""
    config = instance.config
    if interface != config.interface or any(
        (v.interface, v.address) == (interface, address) for v in config.virtual_addresses
    ):
        return instance
    return _with_address_removed(instance, now)


def _with_address_removed(instance: Instance, now: float) -> Instance:
    return replace(instance, evidence=replace(instance.evidence, address_removed=now))


def _advert(router: Router, event: AdvertSent | AdvertHeard, now: float) -> Router:
    """To the instance of that VRID on that interface and of the same address family."""

    def seen(instance: Instance) -> Instance:
        config = instance.config
        if config.vrid != event.vrid or config.interface != event.interface:
            return instance
        if not _same_family(config, event):
            return instance
        if isinstance(event, AdvertSent):
            return wire.sent(instance, event, now)
        return wire.heard(instance, event, effective_priority(router, instance), now)

    return _each(router, seen)


def _same_family(config: InstanceConfig, event: AdvertSent | AdvertHeard) -> bool:
    """One VRID can be an IPv4 and an IPv6 virtual router on one interface, RFC 9568 section 1."""
    addresses = config.virtual_addresses  # those in the adverts come first
    return not addresses or addresses[0].address.version == event.source.version
