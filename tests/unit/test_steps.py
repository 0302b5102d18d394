"""The queue and the deadlines around the core."""

from __future__ import annotations

import asyncio
import time

from havrrpd.core.messages import (
    Action,
    Event,
    KeepalivedStarted,
    KernelListed,
    NotifyWatched,
    ReportProblem,
    ReportTransition,
    RouterGone,
    StateNotified,
)
from havrrpd.core.model import Problem, Router, Settings, State, Word
from havrrpd.steps import BATCH, Steps
from tests.support import CONFIG, Driven

LIMIT = 5.0


class Around:
    """Steps with one router, and what they called."""

    def __init__(self) -> None:
        self.arrived: list[Event | RouterGone] = []
        self.performed: list[Action] = []
        self.changed: list[str] = []
        self.something = asyncio.Event()
        self.steps = Steps(self._arrive, self._perform, self._change)
        self.steps.routers["r1"] = Router("r1", Settings("network1", settle=0.05))

    def _arrive(self, _router_id: str, event: Event | RouterGone) -> None:
        self.arrived.append(event)

    def _perform(self, _router: Router, action: Action) -> None:
        self.performed.append(action)
        self.something.set()

    def _change(self, router: str) -> None:
        self.changed.append(router)
        self.something.set()

    async def until(self, action: Action) -> None:
        async with asyncio.timeout(LIMIT):
            while action not in self.performed:
                self.something.clear()
                await self.something.wait()

    async def until_stepped(self, router: str) -> None:
        self.changed.clear()
        async with asyncio.timeout(LIMIT):
            while router not in self.changed:
                self.something.clear()
                await self.something.wait()

    async def flood(self, router: str) -> None:
        """More events than can be stepped."""
        while True:
            for _ in range(2 * BATCH):
                self.steps.emit(router, NotifyWatched(True))
            await asyncio.sleep(0)


def hold_the_loop(seconds: float) -> None:
    time.sleep(seconds)


def start(around: Around) -> None:
    events = (
        KeepalivedStarted(7, None, CONFIG, 0.0),
        KernelListed({"ha-1": True, "qg-1": True}, frozenset()),
        StateNotified("VR_1", Word.BACKUP, 150),
    )
    for event in events:
        around.steps.emit("r1", event)


async def test_events_are_stepped_in_the_order_in_which_they_came() -> None:
    around = Around()
    start(around)
    around.steps.settle()
    assert [type(event) for event in around.arrived] == [
        KeepalivedStarted,
        KernelListed,
        StateNotified,
    ]
    assert around.steps.routers["r1"].state is State.BACKUP
    assert any(isinstance(action, ReportTransition) for action in around.performed)


async def test_a_deadline_that_a_step_named_is_kept_without_any_event() -> None:
    around = Around()
    running = asyncio.create_task(around.steps.run())
    try:
        start(around)
        around.steps.emit("r1", StateNotified("VR_1", Word.MASTER, 150))
        await around.until(ReportProblem("VR_1", Problem.WITNESSES_DISAGREE, True))
    finally:
        running.cancel()


async def test_an_event_for_a_router_that_is_gone_changes_nothing() -> None:
    around = Around()
    start(around)
    around.steps.emit("r1", RouterGone())
    around.steps.emit("r1", StateNotified("VR_1", Word.MASTER, 150))
    around.steps.settle()
    assert around.steps.routers == {}


async def test_an_address_that_goes_and_comes_back_at_once_makes_no_transition() -> None:
    around = Around()
    start(around)
    around.steps.emit("r1", NotifyWatched(False))  # the kernel is believed without delay
    for event in Driven.adding():
        around.steps.emit("r1", event)
    around.steps.settle()
    assert around.steps.routers["r1"].state is State.MASTER
    around.performed.clear()
    for event in (*Driven.removing(), *Driven.adding()):
        around.steps.emit("r1", event)
    around.steps.settle()
    assert around.steps.routers["r1"].state is State.MASTER
    assert around.performed == []


async def test_many_events_at_once_leave_the_loop_to_others() -> None:
    around = Around()
    start(around)
    for event in Driven.adding() * 500:
        around.steps.emit("r1", event)
    running = asyncio.create_task(around.steps.run())
    try:
        await asyncio.sleep(0)  # one turn of the loop: one batch, not all
        assert 0 < len(around.arrived) < 1003
        around.steps.settle()
        assert len(around.arrived) == 1003
    finally:
        running.cancel()


async def test_what_was_heard_comes_ahead_of_a_deadline_however_much_it_is() -> None:
    around = Around()
    around.steps.routers["r2"] = Router("r2", Settings("network1"))
    start(around)
    around.steps.emit("r1", StateNotified("VR_1", Word.MASTER, 150))
    around.steps.settle()  # the kernel says something else, which is a problem after 0.05 s
    hold_the_loop(0.1)
    for _ in range(3 * BATCH):
        around.steps.emit("r2", NotifyWatched(True))
    around.steps.emit("r1", StateNotified("VR_1", Word.BACKUP, 150))
    running = asyncio.create_task(around.steps.run())
    try:
        await around.until_stepped("r1")
    finally:
        running.cancel()
    assert ReportProblem("VR_1", Problem.WITNESSES_DISAGREE, True) not in around.performed


async def test_a_flood_of_events_does_not_stop_the_deadlines() -> None:
    around = Around()
    around.steps.routers["r2"] = Router("r2", Settings("network1"))
    start(around)
    around.steps.emit("r1", StateNotified("VR_1", Word.MASTER, 150))
    running = asyncio.create_task(around.steps.run())
    flooding = asyncio.create_task(around.flood("r2"))
    try:
        await around.until(ReportProblem("VR_1", Problem.WITNESSES_DISAGREE, True))
    finally:
        running.cancel()
        flooding.cancel()
