"""Gateways: ICMP, ARP and NDP probes from inside a router's namespace, and its default routes."""

from havrrpd.sources.gateway.probing import Gateways

__all__ = ["Gateways"]
