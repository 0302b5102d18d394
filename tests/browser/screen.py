"""A real Chromium, and the words in which tests ask what it shows. Nothing waits by the clock.

Debian's /usr/bin/chromium: Playwright drives it and brings none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = "/usr/bin/chromium"
LIMIT = 10_000.0  # ms, for whatever should come at once

# What a policy refuses, and what holds the page up for more than 50 ms, is only told to the page.
_WATCH = """
window.refused = []; window.tasks = [];
addEventListener("securitypolicyviolation",
  e => refused.push(`${e.violatedDirective} ${e.blockedURI}`));
new PerformanceObserver(list => tasks.push(...list.getEntries().map(e => e.duration)))
  .observe({ type: "longtask", buffered: true });
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=LIMIT)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # As root it has no sandbox; a container's /dev/shm is too small for it.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@dataclass
class Screen:
    """One page in a window of its own. `errors`: what its console says, and what was refused."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(LIMIT)
        self.page.add_init_script(_WATCH)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.errors.append(said.text) if said.type != "log" else None,
        )
        self.page.on("dialog", lambda dialog: self.errors.append(f"a dialog: {dialog.message}"))

    def open(self, url: str, routers: int) -> Screen:
        """Until it is live and shows so many routers."""
        self.page.goto(url)
        self.wait_live()
        expect(self.rows()).to_have_count(routers)
        return self

    def wait_live(self) -> None:
        expect(self.page.locator("#connection")).to_have_text("live")

    def rows(self) -> Locator:
        """Those that the filter shows."""
        return self.page.locator("#table tbody tr:not([hidden])")

    def row(self, router: str) -> Locator:
        return self.page.locator(f'#table tbody tr[data-key="{router}"]')

    def state(self, router: str) -> Locator:
        return self.row(router).locator(".state")

    @property
    def order(self) -> list[str]:
        keys: list[str] = self.rows().evaluate_all("rows => rows.map(row => row.dataset.key)")
        return keys

    @property
    def panel(self) -> Locator:
        return self.page.locator("#panel")

    def part(self, name: str) -> Locator:
        """A section of the panel."""
        return self.panel.locator("section").filter(
            has=self.page.get_by_role("heading", name=name, exact=True)
        )

    def ask(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    @property
    def long_tasks(self) -> list[float]:
        """In ms, since they were asked for last."""
        found: list[float] = self.ask("tasks.splice(0)")
        return found

    def forget_tasks(self) -> None:
        self.ask("globalThis.tasks?.splice(0)")

    def complaints(self) -> list[str]:
        refused: list[str] = self.ask("refused")
        return [*self.errors, *refused]


@contextmanager
def screen(browser: Browser, **options: Any) -> Iterator[Screen]:
    """A window; `options` as Browser.new_context has them. It may have nothing to complain of."""
    options.setdefault("viewport", {"width": 1400, "height": 900})
    with browser.new_context(**options) as context:
        shown = Screen(context.new_page())
        yield shown
        assert shown.complaints() == []
