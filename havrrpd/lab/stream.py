"""A TCP stream that shows for how long it stood still, and what sends it back.

`python -m havrrpd.lab.stream serve` echoes lines, on the port that it says. `... send ADDRESS PORT`
sends numbered lines on one connection and prints each that comes back, behind the wall clock as
`ping -D` writes it.
"""

from __future__ import annotations

import socket
import sys
import threading
import time

INTERVAL = 0.05  # seconds: 20 a second
_LIMIT = 30.0  # seconds without an echo after which the stream has ended


def _serve() -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        connection, _ = listening.accept()
        with connection:
            while data := connection.recv(4096):
                connection.sendall(data)


def _send(address: str, port: int) -> None:
    with socket.create_connection((address, port), 10.0) as connection:
        connection.settimeout(_LIMIT)
        threading.Thread(target=_number, args=(connection,), daemon=True).start()
        for number, line in enumerate(connection.makefile()):
            if line != f"{number}\n":
                raise ValueError(f"{line!r} came back instead of {number}")
            print(f"[{time.time():.6f}] echo: icmp_seq={number} time=", flush=True)


def _number(connection: socket.socket) -> None:
    """Numbered lines, at a fixed rate."""
    number, due = 0, time.monotonic()
    while True:
        connection.sendall(f"{number}\n".encode())
        number, due = number + 1, due + INTERVAL
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            _serve()
        case ["send", address, port]:
            _send(address, int(port))
