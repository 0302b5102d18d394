"""What one namespace holds, as its messages tell it, and the events that follow from a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from havrrpd.core.messages import (
    AddressAdded,
    AddressRemoved,
    KernelEvent,
    KernelListed,
    LinkChanged,
    LinkRemoved,
)
from havrrpd.core.model import IPInterface
from havrrpd.sources.netlink.decode import (
    AddressLost,
    AddressSeen,
    LinkLost,
    LinkSeen,
    Message,
    NamespaceLost,
)


class Table:
    """The links and addresses of a namespace. The kernel speaks of indexes, we of names.

    Only the last message about a link or an address counts, so messages that were queued before a
    listing and are applied after it, in their order, end at the truth.
    """

    def __init__(self, listing: Iterable[Message] = ()) -> None:
        self._links: dict[int, LinkSeen] = {}
        self._addresses: dict[int, set[IPInterface]] = {}
        for message in listing:
            self.apply(message)

    def apply(self, message: Message) -> list[KernelEvent]:
        """Take a message in; the events it makes, none where it says what was known."""
        match message:
            case AddressSeen(index, address):
                return self._add(index, address)
            case AddressLost(index, address):
                return self._remove(index, address)
            case LinkSeen():
                return self._see_link(message)
            case LinkLost(index):
                return self._lose_link(index)
            case NamespaceLost():  # of the node, not of a namespace
                return []
            case _:
                assert_never(message)

    def listed(self) -> KernelListed:
        """Everything there is. An address whose link is not known yet is left out."""
        return KernelListed(
            links={link.interface: link.up for link in self._links.values()},
            addresses=frozenset(
                (link.interface, address)
                for index, link in self._links.items()
                for address in self._addresses.get(index, ())
            ),
        )

    def _see_link(self, link: LinkSeen) -> list[KernelEvent]:
        known = self._links.get(link.index)
        if link == known:
            return []
        self._links[link.index] = link
        if known is not None and known.interface != link.interface:
            return [self.listed()]  # renamed: its addresses are under a new name too
        changed: list[KernelEvent] = [LinkChanged(link.interface, link.up)]
        if known is None:
            waiting = self._addresses.get(link.index, ())
            changed += [AddressAdded(link.interface, address) for address in waiting]
        return changed

    def _lose_link(self, index: int) -> list[KernelEvent]:
        addresses = self._addresses.pop(index, set())
        link = self._links.pop(index, None)
        if link is None:
            return []
        removed = [AddressRemoved(link.interface, address) for address in addresses]
        return [*removed, LinkRemoved(link.interface)]

    def _add(self, index: int, address: IPInterface) -> list[KernelEvent]:
        addresses = self._addresses.setdefault(index, set())
        if address in addresses:
            return []
        addresses.add(address)
        link = self._links.get(index)
        return [] if link is None else [AddressAdded(link.interface, address)]

    def _remove(self, index: int, address: IPInterface) -> list[KernelEvent]:
        addresses = self._addresses.get(index, set())
        if address not in addresses:
            return []
        addresses.remove(address)
        link = self._links.get(index)
        return [] if link is None else [AddressRemoved(link.interface, address)]
