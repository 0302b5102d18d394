"""What every request passes first: its client's rate, its credentials, and that it has no body."""

from __future__ import annotations

import asyncio

from aiohttp.typedefs import Handler
from aiohttp.web import Request, StreamResponse, middleware

from havrrpd.views.web import answers
from havrrpd.views.web.connection import Connection
from havrrpd.views.web.limits import Refusal, client_of
from havrrpd.views.web.users import CHALLENGE


@middleware
async def guard(request: Request, handler: Handler) -> StreamResponse:
    """As the door wants it through which the connection came."""
    connection = request.protocol
    assert isinstance(connection, Connection)
    connection.request_is_here()
    door, client = connection.door, client_of(request.remote or "")
    if not door.asks(client, asyncio.get_running_loop().time()):
        door.refuse(Refusal.CLIENT_RATE)
        return answers.error(429, "too many requests", {"Retry-After": "1"})
    users = door.admission.users
    if users and not await users.accept(request.headers.get("Authorization", ""), client):
        door.refuse(Refusal.CREDENTIALS)
        return answers.error(401, "user and password needed", {"WWW-Authenticate": CHALLENGE})
    if request.body_exists:
        door.refuse(Refusal.TOO_LARGE)
        answer = answers.error(413, "requests have no body here")
        answer.force_close()
        return answer
    return await handler(request)
