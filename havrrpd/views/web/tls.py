"""The certificate and the key of the web server."""

from __future__ import annotations

import ssl
from pathlib import Path


class CertificateError(ValueError):
    """The files can't be used; the text says which, as a line about the configuration, and why."""


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Both from PEM files, the certificate with its chain. Raises CertificateError."""
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            text = f'web.{name}: cannot be read: {error.strerror}, got "{path}"'
            raise CertificateError(text) from error
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        why = (error.reason or "").lower().replace("_", " ") or "one of them is not PEM"
        text = f'web.tls_certificate: no pair with tls_key: {why}, got "{certificate}" and "{key}"'
        raise CertificateError(text) from error
    return context


def _no_password() -> str:
    """Without this OpenSSL would ask on the terminal."""
    raise CertificateError("web.tls_key: must not be encrypted")
