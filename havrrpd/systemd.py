"""What systemd wants to hear from a service of Type=notify, and how often; see sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import structlog

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"

_log = structlog.get_logger(__name__)


def reloading() -> str:
    """The fields that open a reload; READY ends it. systemd compares the time with its own."""
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"


def notify(*fields: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send the fields in one datagram; False when nobody was told.

    That is when nobody asked for it, by NOTIFY_SOCKET, and when systemd is busy or can't be
    reached: a node must not lose its routers' observer for that. Never blocks.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto("\n".join(fields).encode(), address)
    except OSError as error:
        _log.warning("systemd.not_told", fields=fields, error=str(error))
        return False
    return True


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which WATCHDOG has to be sent again; None: this process is not watched.

    sd_watchdog_enabled(3) recommends to send at half of it.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not microseconds.isascii() or not microseconds.isdigit() or int(microseconds) == 0:
        return None
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1_000_000
