// The head of the page, as views: is all well, how many of each kind, what is wrong with havrrpd itself.

import { h } from "./dom.js";
import { BAD } from "./model.js";
import { STATES, clock, counted, duration } from "./words.js";

/** Whether all is well, in a line; else what is wrong, and how often. */
export function verdictView(rows, { trouble, odd, unprotected }) {
  const routers = rows.filter(row => row.router), bad = routers.filter(row => row.level === BAD);
  if (trouble) {
    const many = h("b", null, `${trouble} of ${counted(routers.length, "router")} in trouble`);
    return [many, `: ${tally(bad.flatMap(troubles))}`];
  }
  const rest = [
    odd && `${odd} in an election that is not over`, unprotected && `${unprotected} not protected`,
  ].filter(Boolean).join(", ");
  if (rest) return [h("b", null, "No router is in trouble"), `, ${rest}`];
  if (!routers.length) return [];
  return h("b", null, routers.length === 1 ? "The router is well" : `All ${routers.length} routers are well`);
}

function troubles({ router }) {
  return [...["FAULT", "STOPPED"].filter(state => state === router.state), ...router.problems];
}

/** As 3 FAULT, 1 lever_missing. */
function tally(words) {
  const found = new Map();
  for (const word of words) found.set(word, (found.get(word) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]).map(([word, count]) => `${count} ${word}`).join(", ");
}

/** Buttons that show only routers of a kind; those that are pressed stay, also when there are none. */
export function kindsView(found, pressed, go) {
  const kinds = [
    ["trouble", "in trouble", "bad"], ...STATES.map(state => [state, state, `state-${state}`]),
    ["unprotected", "not protected", "odd"],
  ];
  return kinds.filter(([kind]) => found[kind] || pressed.has(kind)).map(([kind, words, style]) => h("button", {
    key: kind, type: "button", class: `kind ${style}`, "aria-pressed": pressed.has(kind) ? "true" : "false",
    onclick: () => go({ kinds: toggled(pressed, kind) }),
  }, h("b", null, found[kind]), ` ${words}`));
}

function toggled(kinds, kind) {
  const changed = new Set(kinds);
  if (!changed.delete(kind)) changed.add(kind);
  return changed;
}

/** What is to be known before anything below is believed. `ahead`: of the node's clock, in ms. */
export function noticesView(node, { notReadySince, unwell, ahead }) {
  const since = moment => `since ${clock(moment, Date.now())}`;
  const notices = [];
  if (node && !node.ready) {
    notices.push(["starting", "odd", `havrrpd is not ready, ${since(notReadySince)}: not everything that runs here was looked at yet.`]);
  }
  if (unwell.sources.length) {
    notices.push(["deaf", "bad", `havrrpd is deaf, ${since(unwell.since)}: no progress of ${unwell.sources.join(", ")}. What stands below may be old.`]);
  }
  if (node?.draining) {
    notices.push(["draining", "odd", "This node is drained: it gives its routers away, and takes one only when no other node can."]);
  }
  if (ahead) {
    notices.push(["clock", "odd", `The node's clock is ${duration(Math.abs(ahead) / 1000)} ${ahead > 0 ? "ahead of" : "behind"} the clock here. Times are the node's.`]);
  }
  return notices.map(([key, kind, text]) => h("p", { key, class: `notice ${kind}` }, text));
}
