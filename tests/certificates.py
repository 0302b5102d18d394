"""Certificates for tests, made by openssl."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate for 127.0.0.1, signed by itself, and its key."""

    certificate: Path
    key: Path

    def trusting(self) -> ssl.SSLContext:
        """What a client that trusts only this certificate uses."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False  # of which address is not what is tested
        return context


def certificate(directory: Path, name: str = "havrrpd") -> Pair:
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "1", "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-out", str(pair.certificate), "-keyout", str(pair.key)),
        ],
        check=True,
        capture_output=True,
    )
    return pair
