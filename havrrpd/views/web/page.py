"""The page for people: its document, and its parts under a path that changes with them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from aiohttp.web import Application, Request, Response

from havrrpd.views.web import answers

_FILES = Path(__file__).parents[1] / "page"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_KEPT = "private, max-age=31536000, immutable"


def add_page(app: Application) -> None:
    """A browser keeps the parts; the document, which names them, it asks for again each time."""
    parts = {path.name: path for path in sorted(_FILES.iterdir()) if path.suffix in _TYPES}
    contents = {name: path.read_bytes() for name, path in parts.items()}
    version = sha256(b"".join(contents.values())).hexdigest()[:12]
    document = (_FILES / "index.html").read_bytes()
    document = document.replace(b'"page/', f'"page/{version}/'.encode())

    async def get_document(_request: Request) -> Response:
        return _answer(document, "text/html", "no-cache")

    async def get_part(request: Request) -> Response:
        asked, name = request.match_info["version"], request.match_info["file"]
        if asked != version or name not in parts:
            return answers.error(404, "no such part of this havrrpd's page")
        return _answer(contents[name], _TYPES[parts[name].suffix], _KEPT)

    app.router.add_get("/", get_document)
    app.router.add_get("/page/{version}/{file}", get_part)


def _answer(content: bytes, content_type: str, kept: str) -> Response:
    return answers.body(content, f"{content_type}; charset=utf-8", headers={"Cache-Control": kept})
