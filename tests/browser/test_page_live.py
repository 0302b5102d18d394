"""The page of a real havrrpd beside a real keepalived: it follows what happens on the lab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
from playwright.sync_api import Browser, expect

from havrrpd.lab.relay import relay_of
from tests.browser.screen import Screen, chromium, screen
from tests.integration.watched import Watched, watched

pytestmark = pytest.mark.root

LATEST = 1.0  # seconds from a transition to its being seen


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def note_states(shown: Screen, router: str) -> None:
    """From now on the page itself notes when which state of the router came to be seen."""
    shown.ask(
        """router => {
            window.noted = {};
            const row = document.querySelector(`tr[data-key="${router}"]`);
            const note = () => { noted[row.querySelector(".state").textContent] ??= Date.now(); };
            const options = { subtree: true, childList: true, characterData: true };
            new MutationObserver(note).observe(row, options);
        }""",
        router,
    )


def seen_after(shown: Screen, seen: Watched, node: str) -> float:
    """Seconds from the last transition on a node to the moment at which its page showed it."""
    last = seen.instance(node)["last_transition"]
    noted = shown.ask("state => noted[state]", last["to"])
    return float(noted / 1000 - datetime.fromisoformat(last["at"]).timestamp())


@pytest.mark.alone
def test_a_failover_is_on_the_pages_within_a_second(browser: Browser) -> None:
    with (
        watched(nodes=2) as seen,
        relay_of(seen.lab, seen.lab.any_node) as relay,
        screen(browser) as old,
        screen(browser) as new,
    ):
        master = seen.reachable()
        other, router = seen.other(master), seen.lab.routers[0].id
        old.open(relay.urls[master], 1)
        new.open(f"{relay.urls[other]}#router={router}", 1)
        expect(old.state(router)).to_have_text("MASTER")
        expect(old.row(router)).to_contain_text(re.compile(r"203\.0\.113\.1\d+\.\d\d ms"))
        expect(new.state(router)).to_have_text("BACKUP")
        note_states(old, router)
        note_states(new, router)
        seen.lab.break_gateway(master)
        expect(new.state(router)).to_have_text("MASTER")
        expect(old.state(router)).to_have_text("BACKUP")
        assert seen_after(new, seen, other) < LATEST
        assert seen_after(old, seen, master) < LATEST
        expect(old.row(router)).to_contain_text("gateway_lost")
        expect(old.row(router)).to_contain_text("tried")
        expect(new.page.locator(".reading")).to_contain_text("the MASTER before it resigned")
        last = new.part("Last transitions").get_by_role("listitem").first
        expect(last).to_contain_text("BACKUP → MASTER the MASTER before it resigned peer_resigned")
        expect(last).to_contain_text("resigned: priority 0")
        expect(new.part("Gateways")).to_contain_text("203.0.113.1")

        seen.lab.kill_havrrpd(other)
        expect(new.page.get_by_role("alert")).to_contain_text(f"{other} has not been heard since")
        seen.lab.start_havrrpd(other)
        new.wait_live()
        expect(new.page.get_by_role("alert")).to_be_hidden()
        expect(new.state(router)).to_have_text("MASTER")
        assert all("Failed to load resource" in error for error in new.errors)
        new.errors.clear()
