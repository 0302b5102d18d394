"""docs/page.png: a lab with real keepalived, its first failover, and the page of the next MASTER.

`python -m tests.browser.picture`, as root, makes it anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import expect

from havrrpd.lab.lab import Lab
from havrrpd.lab.plan import whole
from havrrpd.lab.play import play
from havrrpd.lab.relay import relay_of
from havrrpd.lab.steady import wait_steady
from tests.browser.screen import chromium, screen

PICTURE = Path(__file__).parents[2] / "docs/page.png"
SIZE = {"width": 1380, "height": 800}


def main() -> None:
    with Lab(whole(routers=4)) as lab, relay_of(lab, lab.any_node) as relay:
        play(lab, lambda line, seconds: print(f"{seconds:6.2f} s  {line}"))
        router = lab.routers[0].id
        master = wait_steady(lab)[router]
        for other in lab.routers[2:]:
            failover = [sys.executable, "-m", "havrrpd", "failover", other.id, "--wait"]
            lab.node(master).exec(failover)
        wait_steady(lab)
        unprotected = len(lab.node(master).status()["unprotected"])
        with chromium() as browser, screen(browser, viewport=SIZE) as shown:
            shown.open(f"{relay.urls[master]}#router={router}", len(lab.routers) + unprotected)
            for _ in range(4):
                shown.page.get_by_role("button", name="Zoom in").click()
            expect(shown.part("Last transitions").get_by_role("listitem").first).to_be_visible()
            shown.ask("document.activeElement.blur()")
            shown.page.screenshot(path=PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
