"""How every answer looks: JSON with the same headers, errors too, and nothing of what made it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from io import BytesIO
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp.payload import BytesIOPayload
from aiohttp.typedefs import Handler
from aiohttp.web import HTTPException, Request, Response, StreamResponse, middleware

# The page has a style sheet, scripts and an icon of its own, and asks nobody but this server.
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Server": "havrrpd",
        "Cache-Control": "no-store",
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)


_NONE: Mapping[str, str] = MappingProxyType({})


class _Document(BytesIOPayload):
    """Lets go of its bytes once it was sent: a connection that stays open keeps its last answer."""

    async def close(self) -> None:
        self._value.close()


def json(value: Any, status: int = 200, headers: Mapping[str, str] = _NONE) -> Response:
    return body(msgspec.json.encode(value), "application/json", status, headers)


def body(
    content: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] = _NONE
) -> Response:
    """It is sent in pieces, each when the client took the one before."""
    typed = {**headers, "Content-Type": content_type}
    return Response(body=_Document(BytesIO(content)), status=status, headers=typed)


def error(status: int, text: str, headers: Mapping[str, str] = _NONE) -> Response:
    return json({"error": text}, status, headers)


def unknown(router: str) -> Response:
    return error(404, f"no router {router} on this node")


def add_headers(answer: StreamResponse) -> None:
    """Those that it has already stay, but for aiohttp's own name with its version."""
    answer.headers["Server"] = HEADERS["Server"]
    for name, value in HEADERS.items():
        answer.headers.setdefault(name, value)


def raw_error(status: HTTPStatus, text: str) -> bytes:
    """A whole answer as it is on the wire, for where no request was read."""
    content = msgspec.json.encode({"error": text})
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in HEADERS.items()),
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


@middleware
async def as_json(request: Request, handler: Handler) -> StreamResponse:
    """aiohttp's own refusals (404, 405) as JSON too."""
    try:
        return await handler(request)
    except HTTPException as refusal:
        allow = {name: refusal.headers[name] for name in ("Allow",) if name in refusal.headers}
        return error(refusal.status, refusal.reason.lower(), allow)
