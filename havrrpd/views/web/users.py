"""Basic auth (RFC 7617) against bcrypt hashes, which are slow by intent: 60 ms at cost 10."""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

import bcrypt

CHALLENGE = 'Basic realm="havrrpd", charset="UTF-8"'
COST = 12  # of new hashes: 240 ms
_LONGEST_PASSWORD = 72  # bytes: bcrypt looks at no more

# bcrypt lets go of the interpreter while it works, so one thread leaves the loop alone.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bcrypt")


class Users:
    """Who may read, and the credentials that were right before.

    Credentials that were seen to be right are known by a keyed digest, so a scrape costs
    microseconds. Wrong ones and unknown users take one verification each time, and those of one
    client wait for each other, so that no client keeps another one waiting for more than one.
    """

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = {user: hashed.encode() for user, hashed in hashes.items()}
        self._key = secrets.token_bytes(32)
        self._good: dict[str, bytes] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __bool__(self) -> bool:
        return bool(self._hashes)

    async def accept(self, authorization: str, client: str) -> bool:
        """Whether an Authorization header names a user and the password."""
        credentials = decode(authorization)
        if credentials is None:
            return False
        user, password = credentials
        digest = self._digest(f"{user}\0{password}")
        if self._was_good(user, digest):
            return True
        turn = self._turns.setdefault(client, asyncio.Lock())
        async with turn:
            if self._was_good(user, digest):  # by now: a browser asks for several things at once
                return True
            if not await self._verify(user, password.encode()):
                return False
        self._good[user] = digest
        return True

    def _was_good(self, user: str, digest: bytes) -> bool:
        return hmac.compare_digest(self._good.get(user, b""), digest)

    async def _verify(self, user: str, password: bytes) -> bool:
        if len(password) > _LONGEST_PASSWORD:
            return False
        loop = asyncio.get_running_loop()
        matches = await loop.run_in_executor(
            _thread, bcrypt.checkpw, password, self._hash_for(user)
        )
        return matches and user in self._hashes

    def _hash_for(self, user: str) -> bytes:
        """An unknown user has that of another one, always the same: both take equally long."""
        some = list(self._hashes.values())
        number = int.from_bytes(self._digest(user)) % len(some)
        return self._hashes.get(user, some[number])

    def _digest(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), "sha256")


def hashed(password: str) -> str:
    """As basic_auth_users wants it. Raises ValueError when bcrypt can't tell it from others."""
    if not 1 <= len(password.encode()) <= _LONGEST_PASSWORD:
        raise ValueError(f"a password has 1 to {_LONGEST_PASSWORD} bytes")
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()


def decode(authorization: str) -> tuple[str, str] | None:
    """User and password of an Authorization header; None when it has none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except ValueError:  # binascii.Error and UnicodeDecodeError are
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None
