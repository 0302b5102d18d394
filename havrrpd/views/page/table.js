// The table of routers: a row is changed alone, moved when its place changes, hidden by the filter.

import { go, isShown, wanted } from "./address.js";
import { create, h, morph } from "./dom.js";
import { compare } from "./model.js";
import { COLUMNS, ageIn, rowClass, rowView, tick } from "./row.js";

const SLICE = 6; // ms of work before the page may scroll and paint
const PAGE = 10; // rows that PageDown passes
const NEW = "is-new"; // a row whose state just changed, until its animation ends
const FEW = 40; // rows: where more wait to be drawn, none would stand out, and animations are slow

export class Table {
  constructor(table, model, { now, changed }) {
    this.body = table.tBodies[0];
    this.model = model;
    this.now = now;
    this.changed = changed; // called after rows were changed
    this.rows = new Map(); // key -> { row, element, age, shown }
    this.order = []; // the same, as they stand in the table
    this.pending = new Set();
    this.current = null; // the key of the row that Tab leads to
    morph(table.tHead.rows[0], COLUMNS.map(name => h("th", { role: "columnheader", scope: "col" }, name)));
    this.body.addEventListener("keydown", event => this.#onKey(event));
    this.body.addEventListener("click", event => this.#onClick(event));
    this.body.addEventListener("focusin", event => this.#onFocus(event));
    this.body.addEventListener("animationend", event => event.target.classList.remove(NEW));
  }

  /** Look at these rows again, the worst first. */
  touch(keys) {
    const idle = this.pending.size === 0;
    if (keys.length > 1) {
      const rows = new Map(keys.map(key => [key, this.model.row(key)]));
      keys.sort((a, b) => (rows.get(a) && rows.get(b) ? compare(rows.get(a), rows.get(b)) : 0));
    }
    for (const key of keys) this.pending.add(key);
    if (idle && this.pending.size) requestAnimationFrame(() => this.#work());
  }

  #work() {
    const until = performance.now() + SLICE;
    for (const key of this.pending) {
      this.pending.delete(key);
      this.#refresh(key);
      if (performance.now() > until) break;
    }
    if (this.pending.size) setTimeout(() => this.#work());
    this.changed(this.pending.size === 0);
  }

  #refresh(key) {
    const row = this.model.row(key), known = this.rows.get(key);
    if (!row) {
      if (!known) return;
      this.#leave(known);
      known.element.remove();
      this.rows.delete(key);
      return;
    }
    const item = known ?? { element: create(h("tr", { role: "row" })), shown: true };
    const moved = !known || compare(known.row, row) !== 0;
    const news = known?.row.router && known.row.router.state !== row.router?.state;
    item.row = row;
    this.rows.set(key, item);
    item.element.dataset.key = key;
    this.#draw(item);
    this.#filter(item);
    if (moved) this.#place(item);
    if (news && this.pending.size < FEW) item.element.classList.add(NEW);
  }

  #draw(item) {
    const selected = wanted().router === item.row.key;
    item.element.className = rowClass(item.row, selected) + (item.element.classList.contains(NEW) ? ` ${NEW}` : "");
    morph(item.element, rowView(item.row, { tabbable: item.row.key === this.current, selected }));
    item.age = ageIn(item.element);
    if (item.age) tick(item.age, this.now());
  }

  /** By bisection among the other rows, which are in order. */
  #place(item) {
    const focused = item.element.contains(document.activeElement) ? document.activeElement : null;
    this.#leave(item);
    let low = 0, high = this.order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compare(this.order[middle].row, item.row) <= 0) low = middle + 1;
      else high = middle;
    }
    this.body.insertBefore(item.element, this.order[low]?.element ?? null);
    this.order.splice(low, 0, item);
    focused?.focus({ preventScroll: true });
  }

  #leave(item) {
    const at = this.order.indexOf(item);
    if (at >= 0) this.order.splice(at, 1);
  }

  #filter(item) {
    item.shown = isShown(item.row, wanted());
    if (item.element.hidden === item.shown) item.element.hidden = !item.shown;
  }

  /** The filter or the selection changed. */
  readAddress() {
    const before = this.selected;
    this.selected = wanted().router;
    for (const key of new Set([before, this.selected])) {
      const item = this.rows.get(key);
      if (item) this.#draw(item);
    }
    for (const item of this.rows.values()) this.#filter(item);
    this.tick();
    this.changed(this.pending.size === 0);
  }

  tick() {
    const now = this.now();
    for (const { age, shown } of this.rows.values()) if (age && shown) tick(age, now);
  }

  get shown() {
    let count = 0;
    for (const item of this.rows.values()) count += item.shown;
    return count;
  }

  isShown(key) {
    return this.rows.get(key)?.shown ?? isEmpty(wanted());
  }

  /** One row can always be reached with Tab. */
  makeReachable() {
    if (this.rows.get(this.current)?.shown) return;
    const first = this.#visible()[0];
    this.#makeCurrent(first?.dataset.key ?? null);
  }

  focus(key = this.current) {
    this.#linkOf(this.rows.get(key)?.element)?.focus();
  }

  #visible() {
    return this.order.filter(item => item.shown).map(item => item.element);
  }

  #makeCurrent(key) {
    const before = this.current;
    this.current = key;
    for (const each of [before, key]) this.#linkOf(this.rows.get(each)?.element)?.setAttribute("tabindex", each === key ? 0 : -1);
  }

  #linkOf(element) {
    return element?.querySelector("a");
  }

  #onFocus(event) {
    const key = event.target.closest("tr")?.dataset.key;
    if (key && key !== this.current) this.#makeCurrent(key);
  }

  #onClick(event) {
    const key = event.target.closest("tr")?.dataset.key;
    const meant = event.ctrlKey || event.metaKey || event.shiftKey || String(getSelection());
    if (!key || meant) return;
    event.preventDefault();
    go({ router: key });
  }

  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const rows = this.#visible(), at = rows.indexOf(event.target.closest("tr"));
    const to = {
      ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1,
      PageDown: at + PAGE, PageUp: at - PAGE,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#linkOf(rows[Math.min(Math.max(to, 0), rows.length - 1)])?.focus();
  }
}

function isEmpty({ text, kinds }) {
  return !text && !kinds.size;
}
