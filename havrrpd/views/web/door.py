"""Who comes in: what connections and requests are refused for, and how often each was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ssl import SSLContext

from havrrpd.views.web.limits import Connections, Limits, Rate, Refusal
from havrrpd.views.web.users import Users


@dataclass(frozen=True, slots=True)
class Admission:
    """What a reload of the configuration replaces, whole. No users: everybody may read."""

    limits: Limits = field(default_factory=Limits)
    users: Users = field(default_factory=lambda: Users({}))
    tls: SSLContext | None = None


class Door:
    """One for each listening socket."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.refused: Counter[Refusal] = Counter(dict.fromkeys(Refusal, 0))
        self._inside = Connections()
        self._connects = Rate()
        self._requests = Rate()

    @property
    def limits(self) -> Limits:
        return self.admission.limits

    @property
    def open(self) -> int:
        """How many connections are inside."""
        return self._inside.total

    def refuse(self, why: Refusal) -> None:
        self.refused[why] += 1

    def connects(self, client: str, now: float) -> Refusal | None:
        """Why a new connection can't come in; None: it can, and is to be let `inside`."""
        why = self._inside.refusal(client, self.limits)
        if why is None and not self._connects.take(client, self.limits.client_rate, now):
            why = Refusal.CLIENT_RATE
        if why is not None:
            self.refuse(why)
        return why

    def enter(self, client: str) -> None:
        self._inside.enter(client)

    def leave(self, client: str) -> None:
        self._inside.leave(client)

    def asks(self, client: str, now: float) -> bool:
        """Whether its rate leaves it one more request."""
        return self._requests.take(client, self.limits.client_rate, now)
