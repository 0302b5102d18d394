"""Which keepalived processes run, with what configuration, and when one of them dies."""

from havrrpd.sources.keepalived.conf import parse

__all__ = ["parse"]
