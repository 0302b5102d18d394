"""Asking the daemon over its Unix socket, with nothing but the standard library: it starts fast."""

from __future__ import annotations

import grp
import http.client
import json
import os
import socket
from typing import Any
from urllib.parse import quote, urlencode

DEFAULT_SOCKET = "/run/havrrpd/havrrpd.sock"
TIMEOUT = 5.0


class NoAnswerError(Exception):
    """The daemon does not answer; the text says what to do."""

    def __init__(self, path: str, reason: str, advice: str = "") -> None:
        super().__init__(
            f"the daemon does not answer on {path}: {reason}; "
            f"{advice or 'is it running? systemctl status havrrpd'}"
        )
        self.reason = reason


class RefusedError(Exception):
    """The daemon answered that it won't; `status` is HTTP's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Client:
    """Every method raises NoAnswerError or RefusedError."""

    def __init__(self, path: str = DEFAULT_SOCKET, timeout: float = TIMEOUT) -> None:
        self.path = path
        self._timeout = timeout

    def status(self) -> dict[str, Any]:
        return self._ask("GET", "/status")

    def router(self, router: str) -> dict[str, Any]:
        return self._ask("GET", f"/status/{quote(router, safe='')}")

    def history(self, limit: int, router: str | None = None) -> dict[str, Any]:
        asked = {"limit": str(limit)} | ({} if router is None else {"router": router})
        return self._ask("GET", f"/history?{urlencode(asked)}")

    def failover(self, router: str) -> None:
        self._ask("POST", f"/failover/{quote(router, safe='')}")

    def drain(self) -> None:
        self._ask("POST", "/drain")

    def undrain(self) -> None:
        self._ask("POST", "/undrain")

    def reload(self) -> None:
        self._ask("POST", "/reload")

    def _ask(self, method: str, url: str) -> dict[str, Any]:
        connection = _UnixConnection(self.path, self._timeout)
        try:
            connection.request(method, url)
            answer = connection.getresponse()
            status, body = answer.status, json.loads(answer.read())
        except PermissionError as error:
            raise NoAnswerError(self.path, "permission denied", _admission(self.path)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoAnswerError(self.path, _reason(error)) from error
        finally:
            connection.close()
        if not isinstance(body, dict):
            raise NoAnswerError(self.path, "what answers is not havrrpd")
        if status >= 400:
            raise RefusedError(status, str(body.get("error", f"HTTP status {status}")))
        return body


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("havrrpd", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "what answers is not havrrpd"


def _admission(path: str) -> str:
    """Who may use the socket, and how to become one of them."""
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "use sudo"
    return "use sudo" if group == "root" else f"use sudo, or join its group {group}"
