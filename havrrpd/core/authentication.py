"""VRRPv2's authentication as something to compare: no password is kept, and none can be shown."""

from __future__ import annotations

import hashlib

AH = "AH"
SIZE = 8  # bytes of a password that are sent, RFC 2338 section 5.3.10


def password(text: bytes) -> str:
    """Equal for what is equal on the wire: the first 8 bytes, filled up with zeros."""
    sent = text[:SIZE].ljust(SIZE, b"\0")
    return f"PASS {hashlib.blake2b(sent, digest_size=8).hexdigest()}"
