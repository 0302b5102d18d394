"""VRRP adverts on the wire, sent and heard: packet sockets -> events."""

from havrrpd.sources.adverts.decode import Advert, Reason, Rejected, decode
from havrrpd.sources.adverts.source import Adverts

__all__ = ["Advert", "Adverts", "Reason", "Rejected", "decode"]
