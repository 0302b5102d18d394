"""A model of keepalived: one VRRP instance as keepalived 2.2.7 runs it, timers and all.

Left out: authentication, unicast, sync groups. `test_model.py` holds it against real runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random

from havrrpd.core.model import InstanceConfig, State, Word
from tests.simulation.agenda import Agenda, Frozen

FAULT = -254  # weight x value at or below that, keepalived.conf(5)


@dataclass(frozen=True, slots=True)
class Advert:
    source: IPv4Address
    priority: int
    advert_int: float


class Keepalived:
    """The VRRP process of one router on one node, from its start to its end.

    `send` puts an advert on the wire, `say` writes a line to the FIFO, `hold` adds or removes the
    virtual addresses. Every timer is late by up to `jitter` seconds.
    """

    def __init__(
        self,
        agenda: Agenda,
        node: Frozen,
        address: IPv4Address,
        config: InstanceConfig,
        lever: int,
        *,
        jitter: float,
        random: Random,
        send: Callable[[Advert], None],
        say: Callable[[Word], None],
        hold: Callable[[bool], None],
    ) -> None:
        self.address = address
        self.config = config
        self.state = State.INIT
        self.ended = False
        self._agenda, self._node = agenda, node
        self._jitter, self._random = jitter, random
        self._send, self._say, self._hold = send, say, hold
        self._master_advert_int = config.advert_int
        self._timer = 0  # the number of the timer that counts; older ones were stopped
        self._due = 0.0
        self._lever = lever
        self._link = True
        self._track()

    @property
    def priority(self) -> int:
        """The effective one."""
        lowered = self._lever if self._lever > FAULT else 0
        return max(1, min(254, self.config.priority + lowered))

    # --- what happens to it ---

    def lever_written(self, value: int) -> None:
        if self.ended:
            return
        skew_before, self._lever = self._skew_time(), value
        if self.state is State.BACKUP:  # a running timer takes the new skew
            self._set_timer(self._due - self._agenda.now + self._skew_time() - skew_before)
        self._track()

    def link_changed(self, up: bool) -> None:
        self._link = up
        if not self.ended:
            self._track()

    def received(self, advert: Advert) -> None:
        if self.ended or not self._link:
            return
        if self.state is State.BACKUP:
            self._received_as_backup(advert)
        elif self.state is State.MASTER:
            self._received_as_master(advert)

    def stop(self) -> None:
        """SIGTERM."""
        if self.state is State.MASTER:
            self._resign()
        self._say(Word.STOP)
        self.ended = True

    def kill(self) -> None:
        """SIGKILL; the addresses stay until the next one starts."""
        self.ended = True

    # --- RFC 9568 section 6.4, and what keepalived adds ---

    def _track(self) -> None:
        fit = self._link and self._lever > FAULT
        if not fit and self.state is not State.FAULT:
            if self.state is State.MASTER:
                self._resign()
            self.state = State.FAULT
            self._timer += 1
            self._say(Word.FAULT)
        elif fit and self.state in (State.INIT, State.FAULT):
            self._become_backup()

    def _received_as_backup(self, advert: Advert) -> None:
        if advert.priority == 0:
            self._set_timer(self._skew_time())
        elif not self.config.preempt or advert.priority >= self.priority:
            if self.config.version == 3:
                self._master_advert_int = advert.advert_int
            self._set_timer(self._down_interval())

    def _received_as_master(self, advert: Advert) -> None:
        mine, other = (self.priority, self.address), (advert.priority, advert.source)
        if advert.priority > 0 and other > mine:
            self._hold(False)
            self._become_backup()
        else:
            self._advertise(self.priority)

    def _become_backup(self) -> None:
        self.state = State.BACKUP
        self._say(Word.BACKUP)
        self._set_timer(self._down_interval())

    def _become_master(self) -> None:
        self.state = State.MASTER
        self._hold(True)
        self._say(Word.MASTER)
        self._advertise(self.priority)

    def _resign(self) -> None:
        if self._link:
            self._advertise(0)
            self._advertise(0)
        self._hold(False)

    def _advertise(self, priority: int) -> None:
        self._send(Advert(self.address, priority, self.config.advert_int))
        if priority:
            self._set_timer(self.config.advert_int)

    # --- timers ---

    def _skew_time(self) -> float:
        scale = 1.0 if self.config.version == 2 else self._master_advert_int
        return (256 - self.priority) / 256 * scale

    def _down_interval(self) -> float:
        return 3 * self._master_advert_int + self._skew_time()

    def _set_timer(self, seconds: float) -> None:
        self._timer += 1
        self._due = self._agenda.now + seconds
        late = self._random.random() * self._jitter
        self._agenda.after(seconds + late, self._timed_out, self._timer, of=self._node)

    def _timed_out(self, timer: int) -> None:
        if self.ended or timer != self._timer:
            return
        if self.state is State.BACKUP:
            self._become_master()
        elif self.state is State.MASTER:
            self._advertise(self.priority)
