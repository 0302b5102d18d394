"""The page in a real Chromium, over a node that is played (see stage.py)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from urllib.parse import quote

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, expect

from havrrpd.core.model import (
    Cause,
    Election,
    Gateway,
    Phase,
    Problem,
    Router,
    State,
    Verdict,
    Word,
)
from tests.browser.screen import Screen, chromium, screen
from tests.browser.stage import Stage, crowd, made_transition, router

NARROW = {"width": 380, "height": 700}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Four routers that are well: 1 and 3 are MASTER, 0 and 2 are BACKUP."""
    with Stage({each.id: each for each in crowd(4)}) as played:
        yield played


@pytest.fixture
def shown(browser: Browser, stage: Stage) -> Iterator[Screen]:
    with screen(browser) as window:
        yield window.open(stage.url, len(stage.routers))


def name(number: int) -> str:
    return router(number).id


def without_gateway(number: int) -> Router:
    """A MASTER whose IPv4 gateway is lost."""
    made = router(number, State.MASTER, problems=frozenset({Problem.GATEWAY_UNREACHABLE}))
    check = made.checks[0]
    lost = replace(check, verdict=Verdict.LOST, failures_in_a_row=4)
    other = replace(check, gateway=Gateway(ip_address("fd00:203:0:113::1"), "qg-1"))
    return replace(made, checks=(lost, other), connectivity=Verdict.LOST)


def with_two_instances(number: int) -> Router:
    """MASTER for IPv4 with an address missing, BACKUP for IPv6 though its last word was MASTER."""
    made = router(number, State.MASTER)
    first = made.instances[0]
    holed = replace(
        first,
        present=first.present - {first.config.virtual_addresses[0]},
        problems=frozenset({Problem.ADDRESSES_MISSING}),
    )
    second = replace(
        router(number).instances[0],
        config=replace(first.config, name="VR_IPV6", vrid=77),
        word=Word.MASTER,
    )
    return replace(made, instances=(holed, second))


# --- what is seen ---


def test_it_says_which_node_it_shows_and_whether_all_is_well(shown: Screen) -> None:
    page = shown.page
    expect(page).to_have_title("network1: no problems, 2 MASTER")
    expect(page.get_by_role("heading", level=1)).to_have_text("network1")
    expect(page.locator("#about")).to_have_text(
        re.compile("what this one node sees · havrrpd 9.9, up 1 h 6 min")
    )
    expect(page.locator("#verdict")).to_have_text("All 4 routers are well")
    expect(page.get_by_role("button", name="2 MASTER")).to_be_visible()
    table = page.get_by_role("table", name="Routers")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["Router", "State", "MASTER is", "Problems", "Since", "Gateways", "Election"]
    )
    expect(table.get_by_role("row")).to_have_count(5)
    expect(shown.row(name(1)).get_by_role("cell")).to_have_text(
        [
            name(1),
            "MASTER",
            "this node",
            "–",
            re.compile(r"\d+ speer_resigned"),
            "203.0.113.10.40 ms",
            "steadypriority 150",
        ]
    )
    expect(shown.row(name(2)).get_by_role("cell").nth(2)).to_have_text("169.254.192.2")


def test_a_second_master_is_red_only_for_the_same_instance(shown: Screen, stage: Stage) -> None:
    heard = router(0).instances[0].masters
    alone = router(1, State.MASTER)
    twice = replace(alone, instances=(replace(alone.instances[0], masters=heard),))
    stage.show(twice, with_two_instances(3))
    masters = shown.row(name(1)).get_by_role("cell").nth(2)
    expect(masters).to_have_text("this nodeand 169.254.192.2")
    expect(masters.locator(".bad")).to_have_count(1)
    masters = shown.row(name(3)).get_by_role("cell").nth(2)
    expect(masters).to_have_text("this node169.254.192.2")
    expect(masters.locator(".bad")).to_have_count(0)


def test_trouble_comes_first_and_its_master_is_not_green(shown: Screen, stage: Stage) -> None:
    assert shown.order == [*sorted((name(1), name(3))), *sorted((name(0), name(2)))]
    green = shown.state(name(1)).evaluate("e => getComputedStyle(e).color")
    turning = Election(phase=Phase.DWELLING, tried=True, turns=2, standing=-40, written=-40)
    stage.show(without_gateway(3), router(2, election=turning))
    expect(shown.row(name(3))).to_contain_text("gateway_unreachable")
    expect(shown.row(name(3))).to_contain_text("203.0.113.1lostfd00:203:0:113::10.40 ms")
    expect(shown.row(name(2))).to_contain_text("dwelling, tried, 2 turnspriority 110")
    assert shown.order == [name(3), name(2), name(1), name(0)]
    assert shown.state(name(3)).evaluate("e => getComputedStyle(e).color") != green
    expect(shown.page.locator("#verdict")).to_have_text(
        "1 of 4 routers in trouble: 1 gateway_unreachable"
    )
    stage.show(router(2, State.FAULT, uplinks_down=frozenset({"eth-ovl"})))
    expect(shown.row(name(2))).to_contain_text("uplink eth-ovl down")
    assert shown.order[0] == name(2)


def test_a_change_of_one_router_leaves_the_other_rows_alone(shown: Screen, stage: Stage) -> None:
    shown.ask("""() => {
        window.touched = new Set();
        const tell = changes => changes.forEach(change => {
            const at = change.target.closest ? change.target : change.target.parentElement;
            if (!at.closest("time")) touched.add(at.closest("tr")?.dataset.key ?? "all");
        });
        const options = { subtree: true, childList: true, attributes: true, characterData: true };
        const rows = document.querySelectorAll("#table tbody tr");
        rows.forEach(row => new MutationObserver(tell).observe(row, options));
    }""")
    stage.show(without_gateway(1))
    expect(shown.row(name(1))).to_contain_text("gateway_unreachable")
    assert shown.ask("[...touched]") == [name(1)]


def test_what_comes_and_goes_is_listed_while_it_is_there(shown: Screen, stage: Stage) -> None:
    stage.show(router(9))
    expect(shown.rows()).to_have_count(5)
    stage.remove(name(9))
    stage.remove(name(1))
    expect(shown.rows()).to_have_count(3)
    expect(shown.row(name(1))).to_have_count(0)


def test_the_panel_shows_the_witnesses_of_each_instance_side_by_side(
    shown: Screen, stage: Stage
) -> None:
    stage.show(with_two_instances(3))
    shown.page.goto(f"{stage.url}#router={name(3)}")
    told = shown.ask("id => fetch(`/status/${id}`).then(a => a.json())", name(3))
    expect(shown.part("Why, and what comes next").locator("p").first).to_be_visible()
    said = shown.part("Why, and what comes next").locator("p").all_inner_texts()
    without_ages = [re.sub(r"[\d.]+ s", "", each) for each in told["explanation"]]
    assert [re.sub(r"[\d.]+ s", "", each) for each in said] == without_ages
    witnesses = shown.part("Witnesses").get_by_role("row")
    texts = {row.split("\t")[0]: row.split("\t")[1:] for row in witnesses.all_inner_texts()}
    assert texts["instance"] == ["VR_4", "VR_IPV6"]
    assert texts["kernel how many virtual addresses are there?"] == ["some differs", "none"]
    assert texts["notification keepalived's last word"] == ["MASTER", "MASTER differs"]
    expect(shown.part("Virtual addresses").get_by_role("listitem")).to_have_text(
        [
            "169.254.0.4/24ha-1missing",
            "203.0.113.4/24qg-1present",
            "169.254.0.4/24ha-1not here",
            "203.0.113.4/24qg-1not here",
        ]
    )
    expect(shown.part("Masters heard")).to_contain_text("169.254.192.2priority 150VR_IPV6")
    expect(shown.part("Gateways")).to_contain_text("203.0.113.10.40 msarp, qg-1, checked")
    expect(shown.part("Election")).to_contain_text(f"/run/havrrpd/levers/{name(3)}")


def test_the_panel_follows_its_router_until_that_is_gone(shown: Screen, stage: Stage) -> None:
    shown.row(name(1)).get_by_role("cell").nth(4).click()
    expect(shown.panel.get_by_role("heading", level=2)).to_have_text(name(1))
    expect(shown.panel.locator(".lead")).to_have_text("MASTER")
    stage.move(1, State.MASTER, State.BACKUP, Cause.GATEWAY_LOST)
    expect(shown.panel.locator(".lead")).to_have_text("BACKUP")
    last = shown.part("Last transitions").get_by_role("listitem").first
    expect(last).to_contain_text("MASTER → BACKUP its gateways were lost gateway_lost")
    expect(last.get_by_role("row")).to_have_text(
        [
            "before or afterwitnesssaid",
            "−1 dprocesskeepalived runs, pid 1001",
            "−12.4 mswire169.254.192.2 resigned: priority 0",
            "−0.8 msnotificationkeepalived said BACKUP",
            "+0.0 mskernel2 of 2 virtual addresses are there",
        ]
    )
    stage.remove(name(1))
    expect(shown.panel).to_contain_text("No such router is on this node now.")
    expect(shown.panel).to_contain_text("MASTER → BACKUP")


def test_what_is_written_in_a_name_is_text(browser: Browser, stage: Stage) -> None:
    evil = "<img src=x onerror=alert(1)>"
    made = router(7, State.MASTER)
    config = replace(made.instances[0].config, name=f"<b>{evil}", interface=evil)
    stage.routers[evil] = replace(
        made,
        id=evil,
        namespace=f"<script>alert(2)</script>{evil}",
        instances=(replace(made.instances[0], config=config),),
    )
    moved = made_transition(1, 7, 5.0, State.BACKUP, State.MASTER, Cause.STARTED)
    said = [{"witness": evil, "said": evil, "at": moved["at"], "relative_ms": 0.0}]
    past = [{**moved, "router": evil, "vrrp_instance": evil, "evidence": said}]
    with Stage(stage.routers, past) as told, screen(browser) as window:
        window.open(f"{told.url}#router={quote(evil)}", 5)
        expect(window.panel.get_by_role("heading", level=2)).to_have_text(evil)
        expect(window.part("Last transitions")).to_contain_text(f"0.0 ms{evil}{evil}")
        expect(window.part("Witnesses")).to_contain_text(f"<b>{evil}")
        expect(window.page.locator(".reading")).to_contain_text(evil)
        expect(window.row(made.id)).to_have_count(0)
        assert window.ask("document.querySelectorAll('img, b b, td script').length") == 0


# --- the filter, the keyboard, the ear ---


def test_the_filter_is_in_the_address_and_can_be_sent(
    shown: Screen, browser: Browser, stage: Stage
) -> None:
    stage.show(without_gateway(3))
    expect(shown.row(name(3))).to_contain_text("gateway_unreachable")
    shown.page.keyboard.press("/")
    shown.page.keyboard.type("qg-1 nothing")
    expect(shown.page.locator("#nothing")).to_have_text("No router matches the filter.")
    shown.page.locator("#filter").fill("203.0.113 UNREACHABLE")
    expect(shown.rows()).to_have_count(1)
    expect(shown.page.locator("#shown")).to_have_text("1 of 4")
    shown.page.locator("#filter").fill("")
    shown.page.get_by_role("button", name="2 MASTER").click()
    expect(shown.rows()).to_have_count(2)
    shown.page.locator("#filter").fill("priority")
    expect(shown.rows()).to_have_count(0)
    shown.page.locator("#filter").fill("peer_resigned")
    expect(shown.page).to_have_url(f"{stage.url}#q=peer_resigned&show=MASTER")
    with screen(browser) as other:
        other.open(shown.page.url, 2)
        assert other.order == [name(3), name(1)]
        pressed = other.page.get_by_role("button", name="2 MASTER", pressed=True)
        expect(pressed).to_be_visible()


def test_everything_is_reached_with_the_keyboard(shown: Screen) -> None:
    press = shown.page.keyboard.press
    rows = shown.order

    def expect_focus(on: str) -> None:
        expect(shown.row(on).get_by_role("link")).to_be_focused()

    press("/")
    expect(shown.page.locator("#filter")).to_be_focused()
    press("ArrowDown")
    expect_focus(rows[0])
    press("ArrowDown")
    expect_focus(rows[1])
    press("End")
    expect_focus(rows[-1])
    press("PageUp")
    expect_focus(rows[0])
    press("ArrowDown")
    press("Enter")
    expect(shown.panel.get_by_role("heading", level=2)).to_be_focused()
    assert shown.page.url.endswith(f"#router={rows[1]}")
    press("Escape")
    expect(shown.panel).to_be_hidden()
    expect_focus(rows[1])
    shown.page.go_back()
    expect(shown.panel).to_be_visible()
    assert shown.ask("document.querySelectorAll('#table [tabindex=\"0\"]').length") == 1
    shown.page.keyboard.press("Tab")
    outline = shown.ask("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_change_is_told_to_those_who_do_not_see_it(shown: Screen, stage: Stage) -> None:
    stage.move(1, State.MASTER, State.BACKUP, Cause.GATEWAY_LOST)
    spoken = shown.page.locator("#spoken[aria-live=polite]")
    expect(spoken).to_have_text(
        f"{name(1)} VR_2 went from MASTER to BACKUP: its gateways were lost."
    )
    for _ in range(4):
        stage.move(2, State.BACKUP, State.MASTER, Cause.PEER_SILENT)
    expect(spoken).to_have_text("4 transitions")


def test_every_cause_has_its_words(shown: Screen) -> None:
    words = shown.ask("""async () => {
        const page = document.querySelector("script").src;
        return Object.keys((await import(page.replace("page.js", "words.js"))).CAUSES);
    }""")
    assert set(words) == set(Cause)


# --- the timeline ---


def test_the_timeline_tells_what_moved_when_and_why(browser: Browser, stage: Stage) -> None:
    moves = (
        (3600 * 1.5, 1, State.INIT, Cause.STARTED),
        (1800.2, 1, State.MASTER, Cause.PEER_SILENT),
        (1800.1, 3, State.MASTER, Cause.PEER_SILENT),
        (60.0, 3, State.FAULT, Cause.LINK_DOWN),
    )
    past = [
        made_transition(identity, number, ago, State.BACKUP, to, cause)
        for identity, (ago, number, to, cause) in enumerate(moves, start=1)
    ]
    with Stage(stage.routers, past) as told, screen(browser) as shown:
        shown.open(told.url, 4)
        page, press = shown.page, shown.page.keyboard.press
        marks, reading = page.locator(".mark"), page.locator(".reading")
        expect(marks).to_have_count(2)
        expect(reading).to_contain_text("newest:")
        expect(reading).to_contain_text(f"{name(3)} VR_4 BACKUP → FAULT a link went down")
        page.get_by_role("button", name="Zoom out").click()
        expect(marks).to_have_count(3)
        page.get_by_role("button", name="last hour").click()
        page.locator(".mark.MASTER").hover()
        expect(reading).to_contain_text("2 transitions to MASTER")
        expect(reading).to_contain_text("2 × peer_silent")
        page.mouse.wheel(0, -100)
        expect(page.locator("#timeline output")).to_have_text(re.compile("48 min until"))
        page.locator(".mark.MASTER").click()
        expect(page.locator(".mark.MASTER")).to_have_count(2)
        page.mouse.move(0, 0)  # what lies under it would be read
        page.locator(".chart").focus()
        press("0")
        press("ArrowRight")
        press("ArrowLeft")
        expect(reading).to_contain_text(f"{name(3)} VR_4 BACKUP → MASTER")
        press("ArrowLeft")
        expect(page.locator("[data-part=spoken]")).to_contain_text(f"{name(1)} VR_2")
        press("Enter")
        expect(shown.panel.get_by_role("heading", level=2)).to_have_text(name(1))


# --- what is wrong with havrrpd itself ---


def test_a_lost_connection_is_seen_and_what_stands_there_is_grey(
    browser: Browser, stage: Stage
) -> None:
    with screen(browser) as shown:
        shown.open(stage.url, 4)
        stage.stop()
        alert = shown.page.get_by_role("alert")
        expect(alert).to_have_text(
            re.compile(
                r"^havrrpd on network1 has not been heard since \d\d:\d\d:\d\d, for \d+ s\. "
                r"It is tried again every second\. "
                r"What stands below is as it was then: routers may have moved\.$"
            )
        )
        expect(shown.page).to_have_title("network1: connection lost")
        expect(shown.page.locator("section.routers")).to_have_css("filter", "grayscale(1)")
        ages = shown.page.locator("#table time").all_inner_texts()
        expect(alert).to_contain_text("for 3 s")
        assert shown.page.locator("#table time").all_inner_texts() == ages
        stage.routers[name(1)] = router(1, State.FAULT)
        stage.start()
        shown.wait_live()
        expect(alert).to_be_hidden()
        expect(shown.state(name(1))).to_have_text("FAULT")
        assert all("Failed to load resource" in error for error in shown.errors)
        shown.errors.clear()


def test_a_havrrpd_that_is_not_ready_deaf_or_drained_says_so(
    browser: Browser, stage: Stage
) -> None:
    with screen(browser) as shown:
        shown.open(stage.url, 4)
        notices = shown.page.locator("#notices p")
        stage.ready = False
        expect(notices).to_have_text([re.compile("^havrrpd is not ready, since")])
        stage.ready, stage.draining = True, True
        expect(notices).to_have_text([re.compile("^This node is drained")])
        stage.draining = False
        expect(notices).to_have_count(0)
        stage.stalled = ("netlink",)
        expect(notices).to_have_text([re.compile("^havrrpd is deaf.* no progress of netlink")])
        stage.stalled = ()
        expect(notices).to_have_count(0)
        assert all("503" in error for error in shown.errors)  # /-/healthy, as it should
        shown.errors.clear()


# --- small, dark, many ---

_CONTRASTS = """() => {
    const rgb = css => css.match(/[\\d.]+/g).map(Number);
    const light = css => rgb(css).slice(0, 3)
        .map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const color = getComputedStyle(e).backgroundColor;
            if ((rgb(color)[3] ?? 1) > 0) return color;
        }
    };
    const poor = [];
    for (const e of document.querySelectorAll("body *")) {
        const text = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        if (!text || e.closest("svg, .unseen") || !e.checkVisibility()) continue;
        const two = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a);
        const contrast = (two[0] + .05) / (two[1] + .05);
        if (contrast < 4.5) poor.push(`${contrast.toFixed(1)} ${e.className}: ${e.textContent}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_the_light_and_in_the_dark(
    browser: Browser, stage: Stage, scheme: str
) -> None:
    ill = without_gateway(3), router(2, State.FAULT), router(5, State.INIT)
    stage.routers |= {each.id: each for each in ill}
    with screen(browser, color_scheme=scheme) as shown:
        shown.open(f"{stage.url}#router={name(3)}", 5)
        expect(shown.part("Election")).to_be_visible()
        paper = shown.ask("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
        assert shown.ask(_CONTRASTS) == []


def test_it_works_at_380_pixels(browser: Browser, stage: Stage) -> None:
    stage.routers[name(3)] = with_two_instances(3)
    with screen(browser, viewport=NARROW, has_touch=True) as shown:
        shown.open(stage.url, 4)
        assert shown.ask("document.documentElement.scrollWidth") == NARROW["width"]
        expect(shown.row(name(3))).to_contain_text("addresses_missing")
        shown.row(name(3)).tap()
        expect(shown.part("Last transitions")).to_be_attached()
        box = shown.panel.bounding_box()
        assert box is not None
        assert (box["x"], box["y"], box["width"]) == (0, 0, NARROW["width"])
        assert shown.ask("document.getElementById('panel').scrollWidth") == NARROW["width"]
        shown.page.get_by_role("button", name="Close the details").tap()
        expect(shown.panel).to_be_hidden()


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser, stage: Stage) -> None:
    with screen(browser, reduced_motion="reduce") as still, screen(browser) as moving:
        still.open(stage.url, 4)
        moving.open(stage.url, 4)
        stage.show(router(1, State.FAULT))
        for shown, count in ((moving, 1), (still, 0)):
            expect(shown.state(name(1))).to_have_text("FAULT")
            assert shown.ask("document.getAnimations().length") == count


LONG = 150.0  # ms: none takes 75 on an idle machine, and this one may be busy
TRIES = 3  # of which the best counts: what others do to the machine is not the page's fault
_SCROLL = """async () => {
    const rows = document.getElementById("rows");
    let frames = 0;
    for (; rows.scrollTop + rows.clientHeight < rows.scrollHeight - 5; frames++) {
        rows.scrollTop += 300;
        await new Promise(requestAnimationFrame);
    }
    return frames;
}"""


def longest_task(
    shown: Screen, does: Callable[[], object], first: Callable[[], object] = lambda: None
) -> float:
    """In ms, of those that something took, at the best of several tries, each after `first`."""

    def once() -> float:
        first()
        shown.forget_tasks()
        does()
        return max(shown.long_tasks, default=0.0)

    return min(once() for _ in range(TRIES))


@pytest.mark.alone
def test_a_thousand_routers_load_scroll_and_change_smoothly(browser: Browser) -> None:
    routers = {each.id: each for each in crowd(1000)}
    history = [
        made_transition(n, n, 3.5 * (1000 - n), State.BACKUP, State.MASTER, Cause.PEER_RESIGNED)
        for n in range(1, 1001)
    ]
    with Stage(routers, history) as stage, screen(browser) as shown:

        def loads() -> None:
            shown.open(stage.url, 1000)

        def scrolls() -> None:
            shown.ask("document.getElementById('rows').scrollTop = 0")
            assert shown.ask(_SCROLL) > 50

        def all_leave() -> None:
            for number in range(1000):
                stage.show(router(number, State.BACKUP))
            # A search by role would look at every element, and be the longest task.
            expect(shown.page.locator("#kinds")).to_have_text("1000 BACKUP")

        def half_come() -> None:
            for each in crowd(1000):
                stage.show(each)
            expect(shown.page.locator("#kinds")).to_contain_text("500 MASTER")

        assert longest_task(shown, loads) < LONG
        assert longest_task(shown, scrolls) < LONG
        heads = shown.page.locator("#table thead").bounding_box()
        rows = shown.page.locator("#rows").bounding_box()
        assert heads is not None
        assert rows is not None
        assert heads["y"] == rows["y"]  # they stay where they can be read
        stage.show(without_gateway(500))
        expect(shown.rows().first).to_contain_text("gateway_unreachable")
        shown.page.locator("#filter").fill(name(7)[:13])
        expect(shown.rows()).to_have_count(1)
        shown.page.locator("#filter").fill("")
        expect(shown.rows()).to_have_count(1000)
        assert longest_task(shown, all_leave, half_come) < LONG
