// One row of the table, as a view: what stands in its cells.

import { hashOf } from "./address.js";
import { h } from "./dom.js";
import { BAD, ODD, mastersHeard, since } from "./model.js";
import { counted, duration, milliseconds } from "./words.js";

const NOTHING = h("span", { class: "dim" }, "–");

export const COLUMNS = ["Router", "State", "MASTER is", "Problems", "Since", "Gateways", "Election"];

/** The cells of a row, and the class of the row itself. */
export function rowView(row, { tabbable, selected }) {
  const link = h("a", {
    href: hashOf({ router: row.key }), tabindex: tabbable ? 0 : -1,
    "aria-current": selected ? "true" : null, title: row.name,
  }, row.name);
  if (row.unprotected) return [
    cell("Router", [link]), cell("State", [NOTHING]), cell("MASTER is", [NOTHING]),
    cell("Problems", [h("span", { class: "odd" }, "not protected: no keepalived")]),
    cell("Since", [NOTHING]), cell("Gateways", [NOTHING]), cell("Election", [NOTHING]),
  ];
  const router = row.router;
  const other = router.namespace === null ? "in the host's network"
    : [row.name, `qrouter-${row.name}`].includes(router.namespace) ? null : router.namespace;
  return [
    cell("Router", [link, other && h("small", null, other)]),
    cell("State", [stateView(router.state, row.level), several(router)]),
    cell("MASTER is", masterView(router)),
    cell("Problems", problemsView(router)),
    cell("Since", sinceView(router)),
    cell("Gateways", gatewaysView(router)),
    cell("Election", electionView(router)),
  ];
}

export function rowClass(row, selected) {
  return (row.level === BAD ? "is-bad" : row.level === ODD ? "is-odd" : "")
    + (selected ? " is-selected" : "");
}

/** The word, in the colour that its evidence allows: a MASTER with a problem is not green. */
export function stateView(state, level) {
  return h("span", { class: `state ${state}${level === BAD ? " doubted" : ""}` }, state);
}

function cell(name, children) {
  return h("td", { role: "cell", "data-name": name }, h("div", null, children));
}

function several(router) {
  const states = router.instances.map(one => one.state);
  if (states.length < 2) return null;
  const same = states.filter(state => state === router.state).length;
  return h("small", { title: `${same} of ${states.length} instances` }, `${same}/${states.length}`);
}

/** Somebody else beside this node is bad where it is for the same instance. */
function masterView(router) {
  const here = router.instances.filter(one => one.state === "MASTER");
  const elsewhere = router.instances.filter(one => one.state !== "MASTER");
  const address = master => h("span", { class: "mono" }, master.address);
  const shown = [
    here.length > 0 && h("span", { class: "here" }, "this node"),
    mastersHeard(here).map(master => h("span", { class: "bad" }, "and ", address(master))),
    mastersHeard(elsewhere).map(address),
  ].flat().filter(Boolean);
  if (shown.length) return shown;
  const missed = router.problems.includes("no_master_heard");
  return [h("span", { class: missed ? "bad" : "dim" }, "nobody heard")];
}

/** Also an uplink that is down: it explains a FAULT without a problem. */
function problemsView({ problems, election }) {
  const all = [...problems, ...election.uplinks_down.map(name => `uplink ${name} down`)];
  return all.length ? all.map(problem => h("span", { class: "bad problem" }, problem)) : [NOTHING];
}

/** `data-since` is kept current by the table: the one thing that changes by itself. */
function sinceView(router) {
  const last = since(router);
  if (!last) return [NOTHING];
  return [
    h("time", { datetime: last.at, "data-since": Date.parse(last.at) }),
    last.cause && h("small", null, last.cause),
  ];
}

function gatewaysView(router) {
  if (!router.gateways.length) {
    return [router.state === "MASTER" ? h("span", { class: "dim" }, "not checked") : NOTHING];
  }
  return router.gateways.map(gateway => h("span", { class: "gateway" },
    h("span", { class: "mono" }, gateway.address), verdictView(gateway)));
}

/** A round-trip time is worth nothing once the gateway is lost. */
export function verdictView(gateway) {
  if (gateway.verdict === "lost") return h("b", { class: "bad" }, "lost");
  if (gateway.verdict === "unchecked") return h("span", { class: "dim" }, "unchecked");
  const rtt = gateway.rtt_seconds === null ? "reachable" : milliseconds(gateway.rtt_seconds);
  const failing = gateway.failures_in_a_row;
  return h("span", { class: failing ? "odd" : null }, rtt, failing ? `, ${failing} missed` : null);
}

function electionView(router) {
  const { phase, tried, turns, lever, observe_only: observing } = router.election;
  const first = router.instances[0];
  const priority = first && `priority ${first.effective_priority}`;
  const unusual = [
    phase === "steady" ? null : phase, tried ? "tried" : null,
    turns ? counted(turns, "turn") : null, observing ? "observes only" : null,
  ].filter(Boolean);
  return [
    unusual.length ? h("span", { class: "odd" }, unusual.join(", ")) : h("span", { class: "dim" }, "steady"),
    h("small", null, [priority, lever === null ? "no lever" : null].filter(Boolean).join(", ")),
  ];
}

/** Bring the age of a row to this moment. `age`: its element, since when, and what it says. */
export function tick(age, now) {
  const said = duration((now - age.since) / 1000, true);
  if (said === age.said) return;
  age.said = said;
  age.element.textContent = said;
}

/** The age in a row that was just drawn; null where it has none. */
export function ageIn(element) {
  const time = element.querySelector("[data-since]");
  return time && { element: time, since: Number(time.dataset.since), said: null };
}
