// The page: what is heard goes into the model, and what follows from it onto the screen.

import { go, wanted } from "./address.js";
import { h, morph } from "./dom.js";
import { kindsView, noticesView, verdictView } from "./head.js";
import { HISTORY, clockAhead, follow, read } from "./live.js";
import { Model, counts, dated } from "./model.js";
import { goneView, panelView, unprotectedView } from "./panel.js";
import { Table } from "./table.js";
import { ONE_COLUMN, Timeline } from "./timeline.js";
import { CAUSES, clock, counted, duration, zone } from "./words.js";

const at = id => document.getElementById(id);
const SPOKEN_TOGETHER = 700; // ms in which changes are told as one
const DETAIL = 1000; // ms between two looks at the router of the panel
const PAST = 20; // transitions in the panel

const model = new Model();
let lostAt = null; // the moment since when nothing is heard; what is shown is of then
let panelFor = null, detail = null, past = [], opener = null; // the router of the panel, and what is known of it
let everLive = false, lastSign = Date.now(), unwell = { sources: [], since: null }, notReadySince = null;

/** The node's time; it stands still while the connection is lost, as what is shown does. */
function now() {
  return (lostAt ?? Date.now()) + clockAhead();
}

const table = new Table(at("table"), model, { now, changed: showCounts });
const timeline = new Timeline(at("timeline"), model, { now, isShown: router => table.isShown(router) });
at("timeline").querySelector("details").addEventListener("toggle", () => timeline.draw());

// --- what is heard ---

const drawTimeline = once(() => timeline.draw());
const showHead = once(() => { showNotices(); showCounts(); });

const { listAgain } = follow({
  status(document) {
    model.list(document);
    table.touch([...new Set([...model.keys(), ...table.rows.keys()])]);
    takeNode();
    if (!model.routers.has(panelFor)) detail = null;
    showDetail();
  },
  history({ transitions }) {
    model.history(transitions, transitions.length >= HISTORY);
    drawTimeline();
  },
  node(node) {
    model.node = { ...model.node, ...node };
    takeNode();
    if (node.summary.unprotected !== model.unprotected.size) listAgain();
  },
  router(router) {
    model.routers.set(router.router, router);
    table.touch([router.router]);
    if (panelFor !== router.router) return;
    detail = { ...router, explanation: detail?.explanation };
    showDetail();
    look();
  },
  router_removed({ router }) {
    model.routers.delete(router);
    table.touch([router]);
    if (panelFor !== router) return;
    detail = null;
    showDetail();
  },
  transition(transition) {
    if (!model.add(transition)) return;
    drawTimeline();
    speak(transition);
    if (panelFor === transition.router) showDetail();
  },
  unwell(sources) {
    unwell = { sources, since: sources.length ? unwell.since ?? Date.now() : null };
    showNotices();
  },
  sign() {
    lastSign = Date.now();
  },
  connection(isLive) {
    if (!isLive) lostAt ??= lastSign;
    else {
      lostAt = null;
      everLive = true;
      if (wanted().router) showPanel();
    }
    showConnection();
    table.tick();
  },
});

function takeNode() {
  model.nodeAt = Date.now();
  notReadySince = model.node.ready ? null : notReadySince ?? Date.now();
  showTitle(); // also of a tab that is not seen, where no frame comes
  showHead();
}

/** Called many times before the next frame, it does its work once then. */
function once(work) {
  let due = false;
  return () => {
    if (!due) requestAnimationFrame(() => { due = false; work(); });
    due = true;
  };
}

// --- the head of the page ---

function showConnection() {
  const lost = lostAt !== null, seconds = lost ? (Date.now() - lostAt) / 1000 : 0;
  document.body.classList.toggle("is-lost", lost);
  at("connection").className = `connection ${lost ? "bad" : everLive ? "good" : "dim"}`;
  at("connection").textContent = lost ? "connection lost" : everLive ? "live" : "connecting";
  const name = model.node?.node ?? "this node";
  if (at("lost").hidden === lost) {
    at("lost").hidden = !lost;
    if (lost) morph(at("lost"), h("b", null, everLive
      ? `havrrpd on ${name} has not been heard since ${clock(lostAt, Date.now())}`
      : "havrrpd does not answer"), h("span", { id: "lost-for", "aria-live": "off" }), " It is tried again every second.",
    everLive && " What stands below is as it was then: routers may have moved.");
  }
  if (lost && at("lost-for")) at("lost-for").textContent = `, for ${duration(seconds)}.`;
  showTitle();
}

function showTitle() {
  const name = model.node?.node ?? "havrrpd", { summary } = model.node ?? {};
  document.title = lostAt !== null ? `${name}: connection lost` : !summary ? name
    : `${name}: ${summary.problems ? counted(summary.problems, "problem") : "no problems"}, ${summary.MASTER} MASTER`;
}

function showNotices() {
  morph(at("notices"), noticesView(model.node, { notReadySince, unwell, ahead: clockAhead() }));
}

function showAbout() {
  const { node, version, uptime_seconds: uptime } = model.node;
  at("node").textContent = node;
  const up = uptime + (now() - clockAhead() - model.nodeAt) / 1000;
  at("about").textContent = `what this one node sees · havrrpd ${version}, up ${duration(up, true)}`;
  at("clock").textContent = `${clock(now(), now())} ${zone()}`;
}

function showCounts(settled = true) {
  if (!model.node || !settled) return;
  const rows = [...table.rows.values()].map(item => item.row), found = counts(rows);
  const { kinds, text } = wanted(), shown = table.shown, filtered = text || kinds.size;
  morph(at("kinds"), kindsView(found, kinds, go));
  at("shown").textContent = filtered ? `${shown} of ${rows.length}` : "";
  at("nothing").hidden = shown > 0 || !everLive;
  at("nothing").textContent = filtered ? "No router matches the filter." : model.node.ready ? "No router on this node." : "";
  at("verdict").className = `verdict ${found.trouble ? "bad" : found.odd || found.unprotected ? "odd" : "good"}`;
  morph(at("verdict"), verdictView(rows, found));
  table.makeReachable();
  showAbout();
  showTitle();
}

// --- the detail panel ---


function showPanel() {
  const { router } = wanted(), opened = router !== null && router !== panelFor;
  if (opened) [detail, past, lookedAt] = [null, [], 0];
  if (opened && panelFor === null) opener = document.activeElement;
  const closed = router === null && panelFor !== null;
  const closing = panelFor;
  panelFor = router;
  timeline.router = router;
  at("panel").hidden = router === null;
  document.body.classList.toggle("has-panel", router !== null);
  for (const each of document.querySelectorAll("main > section")) each.inert = router !== null && ONE_COLUMN.matches;
  if (router !== null) {
    at("panel-name").textContent = router.replace(/^unprotected /, "");
    showDetail();
    look();
    if (opened || !past.length) recall();
  }
  if (opened) {
    at("panel").scrollTop = 0;
    at("panel-name").focus({ preventScroll: true });
  }
  if (closed) {
    table.focus(closing);
    if (document.activeElement === document.body) opener?.focus?.();
  }
  timeline.draw();
}

/** What is known of it at once, the rest when it comes. */
function showDetail() {
  if (panelFor === null) return;
  const unprotected = model.unprotected.get(panelFor), router = detail ?? model.routers.get(panelFor);
  const known = new Map([...past, ...model.transitions].filter(each => each.router === panelFor).map(each => [each.id, each]));
  const transitions = [...known.values()].sort((a, b) => b.id - a.id).slice(0, PAST);
  morph(at("detail"), unprotected ? unprotectedView(unprotected)
    : router ? panelView(router, transitions, now())
      : everLive && goneView(transitions, now()));
}

/** Its transitions, also those from before the newest of all routers. */
async function recall() {
  const asked = panelFor;
  if (!model.routers.has(asked) || lostAt !== null) return;
  try {
    const found = await read(`history?limit=${PAST}&router=${encodeURIComponent(asked)}`);
    if (asked !== panelFor) return;
    past = found.transitions.map(dated);
    showDetail();
  } catch { /* a lost connection is seen elsewhere, and a router that is gone has none */ }
}

let looking = null, lookedAt = 0; // the router that is asked for, and when one was

/** Durations, round-trip times and the explanation move without an event. */
async function look() {
  const looked = panelFor;
  if (looking === looked || Date.now() - lookedAt < DETAIL / 2 || lostAt !== null || document.hidden || !model.routers.has(looked)) return;
  looking = looked;
  lookedAt = Date.now();
  try {
    const found = await read(`status/${encodeURIComponent(looked)}`);
    if (looked !== panelFor) return;
    detail = found;
    model.routers.set(looked, found);
    table.touch([looked]);
  } catch (error) {
    if (looked === panelFor && error.status === 404) detail = null;
  }
  looking = null;
  if (looked === panelFor) showDetail();
}

// --- what is said to those who don't see it ---

let unspoken = [];

function speak(transition) {
  unspoken.push(transition);
  if (unspoken.length > 1) return;
  setTimeout(() => {
    const all = unspoken;
    unspoken = [];
    at("spoken").textContent = all.length > 3 ? `${all.length} transitions` : all.map(({ router, vrrp_instance: name, from, to, cause }) =>
      `${router} ${name} went from ${from} to ${to}: ${CAUSES[cause] ?? cause}.`).join(" ");
  }, SPOKEN_TOGETHER);
}

// --- keys, addresses, time ---

addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
  const typing = event.target === at("filter");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("filter").focus();
    at("filter").select();
  } else if (event.key === "Escape") {
    if (typing && at("filter").value) {
      event.preventDefault();
      go({ text: "" });
    } else if (panelFor !== null) go({ router: null });
    else if (typing) table.focus();
  } else if (typing && (event.key === "ArrowDown" || event.key === "Enter")) {
    event.preventDefault();
    table.focus();
  }
});

at("filter").addEventListener("input", () => go({ text: at("filter").value }));
at("close").addEventListener("click", () => go({ router: null }));

function readAddress() {
  const { text } = wanted();
  if (at("filter").value !== text) at("filter").value = text;
  table.readAddress();
  showPanel();
}

addEventListener("hashchange", readAddress);
ONE_COLUMN.addEventListener("change", showPanel);

setInterval(() => {
  if (lostAt === null && model.node) {
    table.tick();
    timeline.tick();
    showAbout();
    look();
  }
  showConnection();
}, DETAIL);

readAddress();
