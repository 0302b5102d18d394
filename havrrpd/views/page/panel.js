// The detail panel: everything that is known of one router, as a view.

import { h } from "./dom.js";
import { agreement, level } from "./model.js";
import { stateView, verdictView } from "./row.js";
import { CAUSES, clock, duration, signed } from "./words.js";

const WITNESSES = ["process", "kernel", "notification", "wire"];
const MEANING = {
  process: "does keepalived live?", kernel: "how many virtual addresses are there?",
  notification: "keepalived's last word", wire: "adverts",
};

/** `router`: as /status/{router} has it; `transitions`: those of this router, newest first. */
export function panelView(router, transitions, now) {
  return [
    h("p", { class: "lead" }, stateView(router.state, level(router)),
      ...router.problems.map(problem => h("span", { class: "bad problem" }, problem))),
    part("Why, and what comes next", explanationView(router)),
    part("Witnesses", witnessesView(router, now)),
    part("Virtual addresses", addressesView(router)),
    part("Masters heard", mastersView(router, now)),
    part("Gateways", gatewaysView(router, now)),
    part("Election", electionView(router.election)),
    part("Last transitions", transitionsView(transitions, now)),
  ];
}

/** What is shown of a namespace without keepalived. */
export function unprotectedView(one) {
  return h("p", null, `No keepalived runs in ${one.namespace}: when this node fails, nobody takes this router over.`);
}

export function goneView(transitions, now) {
  return [
    h("p", { class: "odd" }, "No such router is on this node now."),
    transitions.length > 0 && part("Last transitions", transitionsView(transitions, now)),
  ];
}

function part(title, content) {
  return h("section", { key: title }, h("h3", null, title), content);
}

function explanationView(router) {
  const sentences = router.explanation ?? [];
  return h("div", { class: "explanation" }, sentences.map(sentence => h("p", null, sentence)));
}

/** A column for each instance, a row for each thing that can be compared. */
function witnessesView(router, now) {
  const all = router.instances;
  if (!all.length) return none("No VRRP instance of this router is known here.");
  const row = (name, value, note) => h("tr", null,
    h("th", { scope: "row" }, name, note && [" ", h("small", null, note)]),
    all.map(one => h("td", null, value(one))));
  return scrolling("Witnesses", h("table", { class: "facts" },
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "instance"),
      all.map(one => h("th", { scope: "col" }, one.vrrp_instance)))),
    h("tbody", null,
      row("state", one => [stateView(one.state, level(router)), " ",
        h("small", null, `${duration((now - Date.parse(one.since)) / 1000)}`)]),
      WITNESSES.map(witness => row(witness, one => witnessView(witness, one), MEANING[witness])),
      row("priority", one => one.effective_priority === one.priority ? one.priority
        : `${one.effective_priority} of ${one.priority}`),
      row("VRID", one => one.vrid),
      row("interface", one => h("span", { class: "mono" }, one.interface)),
      row("protocol", one => `version ${one.version}, every ${one.advert_int} s`),
      row("preempts", one => (one.preempt ? "yes" : "no")),
      all.some(one => one.sync_group) && row("sync group", one => one.sync_group ?? "–"),
      row("transitions", one => one.transitions, "since havrrpd started"))));
}

function witnessView(witness, one) {
  const said = one.witnesses[witness], how = agreement(witness, said, one.state);
  if (how === "differs") return [h("b", { class: "bad" }, said), " ", h("small", { class: "bad" }, "differs")];
  return h("span", { class: how === "agrees" ? "good" : "dim" }, said);
}

/** Only a MASTER should have them: there one that is not is missing, elsewhere one that is was left. */
function addressesView(router) {
  const all = router.instances.flatMap(one => one.virtual_addresses.map(each => ({ ...each, one })));
  if (!all.length) return none("There are none.");
  return list("addresses", all.map(({ address, interface: device, present, one }) => {
    const master = one.state === "MASTER";
    return [h("span", { class: "mono" }, address), h("small", null, device),
      h("span", { class: present === master ? (master ? "good" : "dim") : "bad" },
        present ? "present" : master ? "missing" : "not here")];
  }));
}

function mastersView(router, now) {
  const heard = router.instances.flatMap(one => one.masters_heard.map(each => ({ ...each, one })));
  const age = seconds => `heard ${duration(seconds)} ago`;
  return [
    heard.length ? list("masters", heard.map(({ address, priority, last_heard_seconds: seconds, one }) => [
      h("span", { class: "mono" }, address), h("span", null, `priority ${priority}`),
      h("small", null, router.instances.length > 1 ? `${one.vrrp_instance}, ` : null, age(seconds))]))
      : none(router.state === "MASTER" ? "No other." : "None."),
    router.odd_adverts.length > 0 && list("odd-adverts", router.odd_adverts.map(odd => [
      h("span", { class: "mono" }, odd.source),
      h("b", { class: "bad" }, `differs in ${odd.oddities.join(", ")}`),
      h("small", null, `${odd.interface}, ${age(odd.last_heard_seconds)}`)])),
  ];
}

function gatewaysView(router, now) {
  if (!router.gateways.length) {
    return none(router.state === "MASTER" ? "None is known, or gateways are not checked."
      : "Only a MASTER checks them: all nodes have the same MAC addresses there.");
  }
  return list("gateways", router.gateways.map(gateway => [
    h("span", { class: "mono" }, gateway.address), verdictView(gateway),
    h("small", null, [gateway.method, gateway.interface,
      gateway.failures_in_a_row ? `${gateway.failures_in_a_row} failures in a row` : null,
      gateway.checked_at && `checked ${duration((now - Date.parse(gateway.checked_at)) / 1000)} ago`]
      .filter(Boolean).join(", ")),
  ]));
}

function electionView(election) {
  const pairs = [
    ["phase", election.phase], ["last resignation", election.cause ?? "none"],
    ["tried", election.tried ? "yes: had its turn in this round" : "no"],
    ["turns in this outage", election.turns], ["standing", election.standing],
    ["lever", election.lever ? h("span", { class: "mono" }, election.lever) : h("b", { class: "bad" }, "none")],
    ["uplinks down", election.uplinks_down.length ? h("b", { class: "bad" }, election.uplinks_down.join(", ")) : "none"],
  ];
  if (election.observe_only) pairs.push(["observe_only", "yes: moves nothing"]);
  return h("dl", null, pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** The newest one is open: what each witness said, and how long before or after. */
function transitionsView(transitions, now) {
  if (!transitions.length) return none("None is remembered.");
  return h("ol", { class: "transitions" }, transitions.map((transition, index) =>
    h("li", { key: `${transition.id}` }, h("details", { open: index === 0 },
      h("summary", null, h("time", { datetime: transition.at }, clock(transition.moment, now, { parts: "ms" })),
        " ", changeView(transition), " ", h("span", null, CAUSES[transition.cause] ?? transition.cause), " ",
        h("small", null, transition.cause)),
      evidenceView(transition)))));
}

export function changeView({ from, to }) {
  return h("span", { class: "change" }, h("span", { class: "dim" }, from), " → ", h("b", { class: `state-${to}` }, to));
}

function evidenceView({ evidence, problems }) {
  return h("table", { class: "evidence" },
    h("thead", { class: "unseen" }, h("tr", null,
      ["before or after", "witness", "said"].map(name => h("th", { scope: "col" }, name)))),
    h("tbody", null,
      evidence.map(one => h("tr", null, h("td", { class: "number" }, signed(one.relative_ms)),
        h("th", { scope: "row" }, one.witness), h("td", null, one.said))),
      !evidence.length && h("tr", null, h("td", { colspan: 3, class: "dim" }, "No witness is on record.")),
      problems.length > 0 && h("tr", null, h("td", null), h("th", { scope: "row" }, "problems"),
        h("td", { class: "bad" }, problems.join(", ")))));
}

function list(name, items) {
  return h("ul", { class: `list ${name}` }, items.map(item => h("li", null, item)));
}

function none(text) {
  return h("p", { class: "dim" }, text);
}

/** What can be wider than the panel scrolls by itself, with the keyboard too. */
function scrolling(name, content) {
  return h("div", { class: "scrolling", tabindex: "0", role: "region", "aria-label": name }, content);
}
