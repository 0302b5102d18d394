// What is shown, in the URL's hash, so that a link can be sent: #q=TEXT&show=FAULT,trouble&router=ID

import { BAD } from "./model.js";

/** { text, kinds: Set, router }: what the hash asks for. */
export function wanted() {
  const values = new URLSearchParams(location.hash.slice(1));
  return {
    text: values.get("q") ?? "",
    kinds: new Set((values.get("show") ?? "").split(",").filter(Boolean)),
    router: values.get("router"),
  };
}

/** The hash for what is wanted now, with some of it changed. */
export function hashOf(changed) {
  const { text, kinds, router } = { ...wanted(), ...changed };
  const values = new URLSearchParams();
  if (text) values.set("q", text);
  if (kinds.size) values.set("show", [...kinds].join(","));
  if (router) values.set("router", router);
  return `#${values}`;
}

/** A filter replaces the address, an opened router is a step that "back" undoes. */
export function go(changed) {
  const hash = hashOf(changed);
  if ("router" in changed) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
  dispatchEvent(new Event("hashchange"));
}

export function isShown(row, { text, kinds }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.every(word => row.words.includes(word))) return false;
  if (!kinds.size) return true;
  if (row.unprotected) return kinds.has("unprotected");
  return kinds.has(row.router.state) || (kinds.has("trouble") && row.level === BAD);
}
