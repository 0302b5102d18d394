"""The two web servers of the daemon, and what a reload of the configuration changes of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from math import inf
from typing import Any

from havrrpd.config import Config, ConfigError, Web
from havrrpd.core.node import Node
from havrrpd.views.changes import Changes
from havrrpd.views.web.app import control_app, read_only_app
from havrrpd.views.web.door import Admission, Door
from havrrpd.views.web.limits import Limits, Refusal
from havrrpd.views.web.orders import Control
from havrrpd.views.web.server import serve
from havrrpd.views.web.sockets import listening_tcp, listening_unix
from havrrpd.views.web.tls import CertificateError, server_context
from havrrpd.views.web.users import Users

Jobs = list[tuple[str, Coroutine[Any, Any, None]]]

# Whoever may connect to the Unix socket is trusted; its connections still end some day.
_TRUSTED = Admission(Limits(client_connections=128, client_rate=inf))


def admission(web: Web) -> Admission:
    """As the [web] table wants it. Raises ConfigError when its files can't be used."""
    try:
        tls = server_context(web.tls_certificate, web.tls_key) if web.tls_certificate else None
    except CertificateError as error:
        raise ConfigError((str(error),)) from error
    limits = Limits(
        connections=web.max_connections,
        client_connections=web.max_connections_per_client,
        client_rate=web.max_requests_per_second,
    )
    return Admission(limits, Users(web.basic_auth_users), tls)


class Serving:
    """The Unix socket for orders, and TCP for reading."""

    def __init__(
        self, snapshot: Callable[[], Node], control: Control, changes: Changes, loaded: Config
    ) -> None:
        self._snapshot = snapshot
        self._changes = changes
        self._control = control
        self._paths, self._listen = loaded.paths, loaded.web.listen
        self._local = Door(_TRUSTED)
        self._public = Door(admission(loaded.web))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Both addresses are ours. Raises OSError when one can't be."""
        with (
            listening_unix(self._paths.socket) as self._unix,
            listening_tcp(self._listen.host, self._listen.port) as self._tcp,
        ):
            yield

    def jobs(self) -> Jobs:
        """The tasks that answer, while `listening`."""
        orders = control_app(self._snapshot, self._control, self._changes)
        reading = read_only_app(self._snapshot, self._changes)
        return [
            ("web:unix", serve(orders, self._unix, self._local)),
            ("web:tcp", serve(reading, self._tcp, self._public)),
        ]

    def admit(self, admission: Admission) -> None:
        """From now on; open connections keep their certificate, and nothing else."""
        self._public.admission = admission

    def refused(self) -> Mapping[str, int]:
        """How many of each kind."""
        return {why: self._local.refused[why] + self._public.refused[why] for why in Refusal}
