"""The kernel as a witness: addresses and links of all watched namespaces, by one netlink socket."""

from havrrpd.sources.netlink.source import Netlink

__all__ = ["Netlink"]
