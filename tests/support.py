"""A router of one instance, driven by hand: events in at times that the test chooses."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_interface

from msgspec.structs import replace

from havrrpd.core.messages import (
    Action,
    AddressAdded,
    AddressRemoved,
    AdvertHeard,
    AdvertSent,
    DeadlinePassed,
    Event,
    KeepalivedEnded,
    KeepalivedStarted,
    KernelListed,
    NotifyWatched,
    ReadStanding,
    ReportProblem,
    ReportTransition,
    StandingRead,
    StandingWritten,
    StateNotified,
    WireWatched,
    WriteStanding,
)
from havrrpd.core.model import (
    HealthCheck,
    Instance,
    InstanceConfig,
    KeepalivedConfig,
    Router,
    Settings,
    State,
    Statement,
    TrackFile,
    VirtualAddress,
    VirtualRoute,
    Word,
)
from havrrpd.core.step import next_deadline, step

LEVER = "/run/havrrpd/levers/r1"
PEER = IPv4Address("169.254.192.2")
OWN = IPv4Address("169.254.192.1")
PLAIN = VirtualAddress(ip_interface("169.254.0.1/24"), "ha-1")
EXCLUDED = VirtualAddress(ip_interface("203.0.113.21/24"), "qg-1", excluded=True)
GATEWAY = IPv4Address("203.0.113.1")
INSTANCE = InstanceConfig(
    name="VR_1",
    vrid=1,
    interface="ha-1",
    priority=150,
    preempt=False,
    virtual_addresses=(PLAIN, EXCLUDED),
    virtual_routes=(VirtualRoute(IPv4Network("0.0.0.0/0"), GATEWAY, "qg-1"),),
    track_files=(("havrrpd", None),),
)
CONFIG = KeepalivedConfig(instances=(INSTANCE,), track_files=(TrackFile("havrrpd", LEVER),))
CHECKED = HealthCheck(interval=1.0)


def configured(instance: InstanceConfig) -> KeepalivedConfig:
    """CONFIG with another instance."""
    return replace(CONFIG, instances=(instance,))


class Driven:
    """A router under test. The lever is a dictionary entry: written at once, as the daemon does."""

    def __init__(
        self,
        config: KeepalivedConfig = CONFIG,
        health_check: HealthCheck | None = None,
        *,
        lever_holds: int | None = 0,
        observe_only: bool = False,
        sends: bool = False,
    ) -> None:
        settings = Settings(
            "network1", health_check=health_check or HealthCheck(), observe_only=observe_only
        )
        self.router = Router("r1", settings)
        self.config = config
        self.lever = lever_holds
        self.sends = sends  # adverts, while MASTER: without them it counts as hung
        self.now = 1000.0
        self.actions: list[Action] = []  # of the last call of `feed`, without evidence
        self.evidence: tuple[Statement, ...] = ()  # of the last transition

    def feed(self, *events: Event, at: float | None = None) -> Driven:
        self.now = self.now if at is None else 1000.0 + at
        self.actions = []
        for event in events:
            self._step(event)
        return self

    def wait_until(self, at: float) -> Driven:
        """Let the deadlines pass that come up to then."""
        self.actions = []
        while (due := next_deadline(self.router)) is not None and due <= 1000.0 + at:
            self.now = max(self.now, due)
            self._step(DeadlinePassed())
            again = next_deadline(self.router)
            assert again is None or again > self.now, "a deadline that comes again at once"
        self.now = 1000.0 + at
        return self

    def _step(self, event: Event) -> None:
        if self.sends and self.router.state is State.MASTER:
            self._take(AdvertSent("ha-1", 1, OWN, 150))
        self._take(event)

    def _take(self, event: Event) -> None:
        self.router, actions = step(self.router, event, self.now)
        self.actions += [self._without_evidence(action) for action in actions]
        for action in actions:
            if isinstance(action, WriteStanding):
                self.lever = action.value
                self._take(StandingWritten(action.path, action.value))
            elif isinstance(action, ReadStanding):
                self._take(StandingRead(action.path, self.lever))

    def _without_evidence(self, action: Action) -> Action:
        if not isinstance(action, ReportTransition):
            return action
        self.evidence = action.evidence
        return replace(action, evidence=())

    # --- shorthands for what happens outside ---

    def as_backup(self) -> Driven:
        """Found as a BACKUP that hears a MASTER, with every source open."""
        self.feed(
            KeepalivedStarted(7, "qrouter-r1", self.config, 900.0),
            KernelListed({"ha-1": True, "qg-1": True}, frozenset()),
            NotifyWatched(True),
            WireWatched(True),
            StateNotified("VR_1", Word.BACKUP, 150),
        )
        return self.hear(150)

    def as_master(self) -> Driven:
        """A BACKUP whose MASTER resigned."""
        return self.as_backup().hear(0).promote()

    def promote(self) -> Driven:
        return self.feed(*self.adding(), StateNotified("VR_1", Word.MASTER, 150))

    def fault(self) -> Driven:
        return self.feed(*self.removing(), StateNotified("VR_1", Word.FAULT, 150))

    def hear(self, priority: int, at: float | None = None) -> Driven:
        return self.feed(AdvertHeard("ha-1", 1, PEER, priority, 1.0), at=at)

    def send(self, priority: int = 150, at: float | None = None) -> Driven:
        return self.feed(AdvertSent("ha-1", 1, OWN, priority), at=at)

    def die(self, at: float | None = None) -> Driven:
        return self.feed(KeepalivedEnded(7), at=at)

    @staticmethod
    def adding() -> tuple[Event, ...]:
        return tuple(AddressAdded(v.interface, v.address) for v in (PLAIN, EXCLUDED))

    @staticmethod
    def removing() -> tuple[Event, ...]:
        return tuple(AddressRemoved(v.interface, v.address) for v in (PLAIN, EXCLUDED))

    # --- what came of it ---

    @property
    def instance(self) -> Instance:
        return self.router.instances[0]

    @property
    def transitions(self) -> list[ReportTransition]:
        return [a for a in self.actions if isinstance(a, ReportTransition)]

    @property
    def reported(self) -> list[tuple[str, bool]]:
        return [(a.problem, a.present) for a in self.actions if isinstance(a, ReportProblem)]

    @property
    def written(self) -> list[int]:
        return [a.value for a in self.actions if isinstance(a, WriteStanding)]
