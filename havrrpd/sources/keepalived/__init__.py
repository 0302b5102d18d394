"""Which keepalived processes run, with what configuration, and when one of them dies."""

from havrrpd.sources.keepalived.conf import parse
from havrrpd.sources.keepalived.processes import ExplicitRouter, Found, Keepalived

__all__ = ["ExplicitRouter", "Found", "Keepalived", "parse"]
