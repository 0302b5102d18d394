"""HTTP to a havrrpd, over its Unix socket."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from havrrpd.lab.waiting import LabError


def get_json(unix_socket: Path, path: str, timeout: float) -> dict[str, Any]:
    """GET an object; raises like `get`, and LabError for anything else than an object."""
    body = get(unix_socket, path, timeout)
    document = json.loads(body)
    if not isinstance(document, dict):
        raise LabError(f"{path}: not an object: {body[:200]!r}")
    return document


def get(unix_socket: Path, path: str, timeout: float) -> bytes:
    """GET; raises OSError when nobody answers, LabError for any answer but a good one."""
    connection = UnixConnection(unix_socket, timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise LabError(f"{path}: {error!r}") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise LabError(f"{path}: HTTP {response.status}: {body[:200]!r}")
    return body


class UnixConnection(http.client.HTTPConnection):
    """It stays open from one request to the next."""

    def __init__(self, unix_socket: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._unix_socket = unix_socket

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._unix_socket))
