"""The shapes of the JSON that is answered: types here, schemas in /openapi.json.

Times of day are RFC 3339 in UTC with milliseconds, durations seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from havrrpd.core.model import Cause, Phase, Problem, State, Verdict, Witness, Word
from havrrpd.core.node import Oddity
from havrrpd.core.witnesses import Presence

Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Priority = Annotated[int, Meta(ge=0, le=255)]

Version = Annotated[int, Meta(extra_json_schema={"enum": [2, 3]})]
Method = Annotated[str, Meta(extra_json_schema={"enum": ["arp", "ndp", "icmp"]})]

UNWATCHED: Literal["unwatched"] = "unwatched"
Wire = Literal["sending", "hearing", "silent", "unwatched"]
Kernel = Annotated[
    str,
    Meta(
        description="How many of the virtual addresses are there.",
        extra_json_schema={"enum": [*Presence, UNWATCHED]},
    ),
]
Notification = Annotated[
    str,
    Meta(
        description="What keepalived's FIFO said last.",
        extra_json_schema={"enum": [*Word, "none", UNWATCHED]},
    ),
]


class Summary(TypedDict):
    """How many routers are in each state, how many problems there are."""

    routers: Count
    INIT: Count
    BACKUP: Count
    MASTER: Count
    FAULT: Count
    STOPPED: Count
    problems: Count
    unprotected: Count


class UnprotectedRouter(TypedDict):
    """A router's namespace in which no keepalived runs."""

    router: str
    namespace: str


class VirtualAddressStatus(TypedDict):
    address: Annotated[str, Meta(description="With the length of its prefix.")]
    interface: str
    present: bool


class Witnesses(TypedDict):
    """What each source of evidence says of the instance."""

    process: Literal["running", "gone"]
    kernel: Kernel
    notification: Notification
    wire: Annotated[Wire, Meta(description="Whether adverts go out, or come in.")]


class OtherMaster(TypedDict):
    """Another node that says it is MASTER."""

    address: str
    priority: Priority
    last_heard_seconds: Seconds


class OddAdvertStatus(TypedDict):
    """The last advert with the VRID of an instance, of one source, that is not as ours are."""

    interface: str
    source: str
    oddities: list[Oddity]
    last_heard_seconds: Seconds


LastTransition = TypedDict(
    "LastTransition",
    {"from": State, "to": State, "at": Time, "cause": Cause},
)


class InstanceStatus(TypedDict):
    """One VRRP instance of a router."""

    vrrp_instance: str
    vrid: Annotated[int, Meta(ge=0, le=255)]
    interface: str
    version: Version
    advert_int: Annotated[float, Meta(gt=0, description="Seconds.")]
    preempt: bool
    sync_group: str | None
    state: State
    since: Time
    problems: list[Problem]
    priority: Annotated[Priority, Meta(description="As configured.")]
    effective_priority: Annotated[Priority, Meta(description="As the lever leaves it.")]
    virtual_addresses: list[VirtualAddressStatus]
    witnesses: Witnesses
    masters_heard: list[OtherMaster]
    last_transition: LastTransition | None
    transitions: Annotated[Count, Meta(description="Since havrrpd started.")]


class GatewayStatus(TypedDict):
    """A next hop that the router needs."""

    address: str
    family: Literal["ipv4", "ipv6"]
    interface: str | None
    verdict: Verdict
    method: Annotated[Method | None, Meta(description="Of the last reply.")]
    rtt_seconds: Seconds | None
    failures_in_a_row: Count
    checked_at: Time | None


class ElectionStatus(TypedDict):
    """This node's part in the election of the router."""

    phase: Phase
    cause: Annotated[Cause | None, Meta(description="Of the last resignation.")]
    tried: Annotated[bool, Meta(description="Had its turn in the present round, and failed.")]
    turns: Annotated[Count, Meta(description="In the present outage.")]
    standing: Annotated[
        int, Meta(description="How much this node lowers its priority.", ge=-254, le=0)
    ]
    lever: Annotated[str | None, Meta(description="The path of the track file.")]
    observe_only: bool
    uplinks_down: list[str]


class RouterStatus(TypedDict):
    """One keepalived process with its network namespace. `state`: the worst of its instances."""

    router: str
    namespace: Annotated[str | None, Meta(description="null: the host's.")]
    pid: Annotated[int | None, Meta(description="Of keepalived; null: it does not run.")]
    state: State
    problems: Annotated[list[Problem], Meta(description="Its own and those of its instances.")]
    connectivity: Verdict
    instances: list[InstanceStatus]
    gateways: list[GatewayStatus]
    election: ElectionStatus
    odd_adverts: list[OddAdvertStatus]


class ExplainedRouter(RouterStatus):
    """The same, explained."""

    explanation: Annotated[
        list[str], Meta(description="Why this node is or is not MASTER, and what comes next.")
    ]


class NodeStatus(TypedDict):
    """The whole node. `ready`: everything that runs was looked at once."""

    node: str
    version: str
    ready: bool
    draining: bool
    uptime_seconds: Seconds
    summary: Summary
    routers: list[RouterStatus]
    unprotected: list[UnprotectedRouter]


class StatementStatus(TypedDict):
    """What one witness said last ahead of a transition."""

    witness: Witness
    said: str
    at: Time
    relative_ms: Annotated[float, Meta(description="To the transition; below 0 is before it.")]


TransitionStatus = TypedDict(
    "TransitionStatus",
    {
        "id": Annotated[int, Meta(ge=1, description="Grows by one, also over restarts.")],
        "router": str,
        "vrrp_instance": str,
        "vrid": Annotated[int, Meta(ge=0, le=255)],
        "from": State,
        "to": State,
        "at": Time,
        "cause": Cause,
        "problems": Annotated[list[Problem], Meta(description="At that moment.")],
        "evidence": Annotated[list[StatementStatus], Meta(description="In order of time.")],
    },
)


class HistoryStatus(TypedDict):
    """The last transitions of this node, the newest first."""

    node: str
    transitions: list[TransitionStatus]


class NodeHead(TypedDict):
    """The node without its routers: data of the event `node`."""

    node: str
    version: str
    ready: bool
    draining: bool
    uptime_seconds: Seconds
    summary: Summary


class RouterRemoved(TypedDict):
    """Data of the event `router_removed`."""

    router: str


class Health(TypedDict):
    """`stalled`: the sources that make no progress."""

    healthy: bool
    stalled: list[str]


class Readiness(TypedDict):
    ready: bool


class Ordered(TypedDict):
    """The order was taken; what comes of it, /status shows."""

    ordered: Literal[True]


class Error(TypedDict):
    error: str
