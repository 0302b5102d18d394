// What is known of the node, and what follows from it for the eye: how bad, in what order, who holds what.

import { STATES } from "./words.js";

export const BAD = 2, ODD = 1, WELL = 0;

const KEPT = 2000; // transitions

/** Everything that was heard. `routers`: id -> document; `transitions`: newest first. */
export class Model {
  node = null;
  routers = new Map();
  unprotected = new Map();
  transitions = [];
  seen = new Set();
  isCut = false;

  list({ routers, unprotected, ...node }) {
    this.node = node;
    this.routers = new Map(routers.map(router => [router.router, router]));
    this.unprotected = new Map(unprotected.map(one => [`unprotected ${one.namespace}`, one]));
  }

  /** Newest first; `isCut`: there were more. */
  history(transitions, isCut) {
    this.isCut = isCut;
    this.transitions = [];
    this.seen.clear();
    for (const transition of [...transitions].reverse()) this.add(transition);
  }

  /** False when it is known already. */
  add(transition) {
    if (this.seen.has(transition.id)) return false;
    this.seen.add(transition.id);
    this.transitions.unshift(dated(transition));
    this.isCut ||= this.transitions.length > KEPT;
    if (this.transitions.length > KEPT) this.seen.delete(this.transitions.pop().id);
    return true;
  }

  /** The routers, and what should be one: key -> a row's facts. */
  row(key) {
    const router = this.routers.get(key);
    if (router) return facts(key, router);
    const one = this.unprotected.get(key);
    return one && { key, unprotected: one, name: one.namespace, level: ODD, words: one.namespace.toLowerCase() };
  }

  keys() {
    return [...this.routers.keys(), ...this.unprotected.keys()];
  }
}

/** A transition with its moment, in ms since the epoch. */
export function dated(transition) {
  return { ...transition, moment: Date.parse(transition.at) };
}

function facts(key, router) {
  return { key, router, name: router.router, level: level(router), words: searchable(router) };
}

/** How much a router needs somebody: FAULT, STOPPED or a problem; a state that will not last; well. */
export function level(router) {
  if (router.problems.length || router.state === "FAULT" || router.state === "STOPPED") return BAD;
  if (router.state === "INIT" || router.election.phase === "resigning"
    || router.election.phase === "dwelling" || router.election.phase === "alone"
    || router.election.tried || router.gateways.some(gateway => gateway.verdict === "lost")) return ODD;
  return WELL;
}

/** Trouble first, then the MASTERs, then by name. */
export function compare(a, b) {
  return b.level - a.level || rank(a) - rank(b) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

const ORDER = ["STOPPED", "FAULT", "INIT", "MASTER", "BACKUP"];

function rank(row) {
  return row.unprotected ? ORDER.length : ORDER.indexOf(row.router.state);
}

function searchable(router) {
  return [
    router.router, router.namespace, ...router.problems, router.election.phase,
    ...router.instances.flatMap(one => [one.vrrp_instance, one.interface, `vrid ${one.vrid}`,
      ...one.virtual_addresses.map(each => each.address), ...one.masters_heard.map(each => each.address),
      one.last_transition?.cause]),
    ...router.gateways.map(gateway => gateway.address),
  ].join(" ").toLowerCase();
}

/** The newest change among the instances: its time, and its cause if one is known. */
export function since(router) {
  let newest = null;
  for (const one of router.instances) {
    if (!newest || one.since > newest.since) newest = one;
  }
  return newest && { at: newest.since, cause: newest.last_transition?.cause ?? null };
}

/** Who says that it is MASTER, as the wire has it: [{ address, priority }], the strongest first. */
export function mastersHeard(instances) {
  const found = new Map();
  for (const master of instances.flatMap(one => one.masters_heard)) {
    found.set(`${master.address} ${master.priority}`, master);
  }
  return [...found.values()].sort((a, b) => b.priority - a.priority);
}

/** What a witness should say of an instance in that state; null: nothing certain. */
const EXPECTED = {
  process: { MASTER: ["running"], BACKUP: ["running"], FAULT: ["running"], INIT: ["running"] },
  kernel: { MASTER: ["all"], BACKUP: ["none"], FAULT: ["none"], STOPPED: ["none"] },
  notification: { MASTER: ["MASTER"], BACKUP: ["BACKUP"], FAULT: ["FAULT"] },
  wire: { MASTER: ["sending"], BACKUP: ["hearing"] },
};

/** "agrees", "differs", or "silent" for a witness that says nothing either way. */
export function agreement(witness, said, state) {
  if (said === "unwatched" || (witness === "notification" && said === "none")) return "silent";
  const expected = EXPECTED[witness][state];
  if (!expected) return "silent";
  return expected.includes(said) ? "agrees" : "differs";
}

/** How many rows there are of each kind that the filter knows. */
export function counts(rows) {
  const found = { trouble: 0, odd: 0, unprotected: 0, ...Object.fromEntries(STATES.map(state => [state, 0])) };
  for (const row of rows) {
    if (row.unprotected) found.unprotected += 1;
    else {
      found[row.router.state] += 1;
      if (row.level === BAD) found.trouble += 1;
      if (row.level === ODD) found.odd += 1;
    }
  }
  return found;
}
