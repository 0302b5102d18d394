// The timeline of transitions: a lane for each state that was entered, a mark for each transition.

import { go } from "./address.js";
import { h, morph } from "./dom.js";
import { changeView } from "./panel.js";
import { CAUSES, STATES, clock, counted, duration } from "./words.js";

// As in the style sheet: there the panel lies over all the rest, and the wheel scrolls the page.
export const ONE_COLUMN = matchMedia("not all and (min-width: 62rem) and (min-height: 36rem)");

const HOUR = 3600e3, SHORTEST = 2e3, LONGEST = 48 * HOUR;
const LANE = 15, LABELS = 66, AXIS = 18, TOUCHING = 7, NUMBER = 9; // pixels
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400].map(s => s * 1e3);
const LISTED = 200;

export class Timeline {
  /** `now`: the moment; `isShown(router)`: whether the filter lets it through. */
  constructor(section, model, { now, isShown }) {
    this.parts = Object.fromEntries([...section.querySelectorAll("[data-part]")].map(each => [each.dataset.part, each]));
    this.model = model;
    this.now = now;
    this.isShown = isShown;
    this.span = HOUR;
    this.end = null; // null: now
    this.chosen = null; // the id of a transition
    this.hovered = null; // a mark
    this.drag = null;
    const { chart, closer, farther, whole } = this.parts;
    closer.onclick = () => this.zoom(1 / 2);
    farther.onclick = () => this.zoom(2);
    whole.onclick = () => this.reset();
    chart.addEventListener("wheel", event => this.#onWheel(event), { passive: false });
    chart.addEventListener("keydown", event => this.#onKey(event));
    chart.addEventListener("pointerdown", event => {
      this.drag = { x: event.clientX, moved: false, end: this.#end() };
      this.dragged = false;
    });
    addEventListener("pointermove", event => this.#onDrag(event));
    addEventListener("pointerup", () => { this.drag = null; });
    chart.addEventListener("click", event => this.#onClick(event));
    chart.addEventListener("pointerover", event => this.#onHover(event));
    chart.addEventListener("pointerleave", () => { this.hovered = null; this.#read(); });
    new ResizeObserver(() => this.draw()).observe(chart);
  }

  /** Draw again if it would move by a pixel. */
  tick() {
    if (this.end === null && this.now() - this.drawn >= this.span / this.width) this.draw();
  }

  draw() {
    this.drawn = this.now();
    this.width = this.parts.chart.clientWidth - LABELS;
    if (this.width <= 0) return;
    const following = this.end === null, end = this.#end(), start = end - this.span;
    // The newest can be ahead of the clock here.
    this.inside = this.model.transitions.filter(each =>
      each.moment >= start && (following || each.moment <= end) && this.isShown(each.router));
    this.marks = this.#marks(start);
    this.hovered &&= this.marks.find(mark => mark.all[0].id === this.hovered.all[0].id);
    const height = STATES.length * LANE + AXIS;
    morph(this.parts.chart, h("svg", {
      width: LABELS + this.width, height, viewBox: `0 0 ${LABELS + this.width} ${height}`, "aria-hidden": "true",
    }, this.#lanes(), this.#axis(start, end, height), this.#horizon(start), this.marks.map(mark => this.#mark(mark))));
    this.parts.span.textContent = following ? `last ${this.#length()}`
      : `${duration(this.span / 1000)} until ${clock(end, this.now())}`;
    this.parts.whole.hidden = following && this.span === HOUR;
    this.#list();
    this.#read();
  }

  /** `factor` below 1: closer. Around a moment, else the chosen transition, else the end. */
  zoom(factor, around = null) {
    const end = this.#end(), center = around ?? this.#chosen()?.moment ?? end;
    const span = Math.min(Math.max(this.span * factor, SHORTEST), LONGEST);
    this.#show(center + (end - center) * (span / this.span), span);
  }

  reset() {
    this.#show(this.now(), HOUR);
  }

  #show(end, span = this.span) {
    this.span = span;
    this.end = end >= this.now() - span / 200 ? null : end;
    this.draw();
  }

  #end() {
    return this.end ?? this.now();
  }

  #length() {
    return this.span === HOUR ? "hour" : duration(this.span / 1000);
  }

  #x(moment, start) {
    return LABELS + Math.min((moment - start) / this.span, 1) * this.width;
  }

  /** Those of one lane that would touch are one mark. */
  #marks(start) {
    const open = new Map(), marks = [];
    for (const transition of [...this.inside].reverse()) {
      const x = this.#x(transition.moment, start), mark = open.get(transition.to);
      if (mark && x - mark.right < TOUCHING + (mark.all.length > 1 ? NUMBER : 0)) {
        mark.all.push(transition);
        mark.right = x;
      } else {
        const made = { lane: STATES.indexOf(transition.to), left: x, right: x, all: [transition] };
        open.set(transition.to, made);
        marks.push(made);
      }
    }
    return marks;
  }

  #lanes() {
    return STATES.map((state, index) => h("g", { key: `lane ${state}` },
      h("line", { class: "lane", x1: LABELS, x2: LABELS + this.width, y1: (index + 0.5) * LANE, y2: (index + 0.5) * LANE }),
      h("text", { class: "lane-name", x: 0, y: (index + 0.5) * LANE + 4 }, state)));
  }

  #axis(start, end, height) {
    const step = STEPS.find(each => (each / this.span) * this.width >= 76) ?? STEPS.at(-1);
    const offset = new Date(end).getTimezoneOffset() * 60e3; // ticks at whole hours of the reader's
    const ticks = [];
    for (let at = Math.ceil((start - offset) / step) * step + offset; at <= end; at += step) {
      const x = this.#x(at, start);
      ticks.push(h("g", { key: `tick ${at}` },
        h("line", { class: "tick", x1: x, x2: x, y1: 0, y2: height - AXIS + 3 }),
        h("text", { class: "tick-name", x, y: height - 4, "text-anchor": x > LABELS + this.width - 24 ? "end" : x < LABELS + 24 ? "start" : "middle" },
          clock(at, this.now(), { parts: step < 60e3 ? "s" : "min" }))));
    }
    return ticks;
  }

  /** Before this moment nothing is remembered. */
  #horizon(start) {
    const oldest = this.model.transitions.at(-1);
    if (!oldest || oldest.moment <= start || !this.model.isCut) return null;
    return h("rect", { class: "forgotten", x: LABELS, y: 0, width: this.#x(oldest.moment, start) - LABELS, height: STATES.length * LANE });
  }

  #mark(mark) {
    const chosen = mark.all.some(each => each.id === this.chosen), many = mark.all.length > 1;
    const width = Math.max(mark.right - mark.left + 4, many ? 10 + 7 * String(mark.all.length).length : 4);
    const x = Math.min((mark.left + mark.right - width) / 2, LABELS + this.width - width);
    const foreign = this.router && !mark.all.some(each => each.router === this.router);
    const key = `mark ${mark.all[0].id}`;
    return h("g", { key, class: `mark ${STATES[mark.lane]}${chosen ? " chosen" : ""}${foreign ? " foreign" : ""}`, "data-mark": mark.all[0].id },
      h("rect", { class: "hit", x: x - 4, y: mark.lane * LANE, width: width + 8, height: LANE }),
      h("rect", { class: "bar", x, y: mark.lane * LANE + 1, width, height: LANE - 2, rx: 2 }),
      many && h("text", { x: x + width / 2, y: mark.lane * LANE + 11, "text-anchor": "middle" }, mark.all.length));
  }

  #chosen() {
    return this.inside?.find(each => each.id === this.chosen);
  }

  #markAt(target) {
    const id = target.closest?.("[data-mark]")?.dataset.mark;
    return id === undefined ? null : this.marks.find(mark => String(mark.all[0].id) === id);
  }

  /** The line below: what is pointed at, else chosen, else the newest. */
  #read() {
    const mark = this.hovered ?? (this.#chosen() ? { all: [this.#chosen()] } : null);
    const newest = this.inside.find(each => each.router === this.router) ?? this.inside[0];
    if (mark) morph(this.parts.reading, mark.all.length > 1 ? readMany(mark.all, this.now()) : readOne(mark.all[0], this.now()));
    else if (newest) morph(this.parts.reading, h("span", { class: "dim" }, "newest: "), readOne(newest, this.now()));
    else morph(this.parts.reading, h("span", { class: "dim" }, "No transition in this time."));
  }

  #list() {
    const { count, list } = this.parts, listed = this.inside.slice(0, LISTED);
    count.textContent = `${counted(this.inside.length, "transition")} ${this.end === null ? `in the last ${this.#length()}` : "in this time"}`
      + (this.inside.length > LISTED ? `, the newest ${LISTED}` : "");
    if (!list.closest("details").open) return;
    morph(list, listed.map(each => h("li", { key: String(each.id) },
      h("a", { href: `#router=${encodeURIComponent(each.router)}`, onclick: event => { event.preventDefault(); go({ router: each.router }); } }, readOne(each, this.now())))));
  }

  #choose(transition) {
    if (!transition) return;
    this.chosen = transition.id;
    const end = this.#end();
    if (transition.moment > end || transition.moment < end - this.span) this.#show(transition.moment + this.span / 2);
    else this.draw();
    this.parts.spoken.textContent = this.parts.reading.textContent;
  }

  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const all = this.model.transitions.filter(each => this.isShown(each.router)); // newest first
    const at = all.findIndex(each => each.id === this.chosen);
    const act = {
      ArrowLeft: () => this.#choose(all[Math.min(at + 1, all.length - 1)]),
      ArrowRight: () => this.#choose(all[at < 0 ? 0 : Math.max(at - 1, 0)]),
      Home: () => this.#choose(all.at(-1)),
      End: () => this.#choose(all[0]),
      Enter: () => this.#chosen() && go({ router: this.#chosen().router }),
      "+": () => this.zoom(1 / 2), "=": () => this.zoom(1 / 2), "-": () => this.zoom(2), 0: () => this.reset(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    this.hovered = null;
    act();
  }

  #onWheel(event) {
    const scrolls = ONE_COLUMN.matches && document.activeElement !== this.parts.chart;
    if (event.ctrlKey || !event.deltaY || scrolls) return;
    event.preventDefault();
    const left = this.parts.chart.getBoundingClientRect().left + LABELS;
    const part = Math.min(Math.max((event.clientX - left) / this.width, 0), 1);
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#end() - this.span * (1 - part));
  }

  #onDrag(event) {
    if (!this.drag) return;
    const by = event.clientX - this.drag.x;
    if (Math.abs(by) > 3) this.drag.moved = this.dragged = true;
    if (this.drag.moved) this.#show(Math.min(this.drag.end - (by / this.width) * this.span, this.now()));
  }

  /** One opens its router, several are looked at closer. */
  #onClick(event) {
    const mark = this.#markAt(event.target);
    if (!mark || this.dragged) return;
    if (mark.all.length === 1) {
      this.chosen = mark.all[0].id;
      go({ router: mark.all[0].router });
      return;
    }
    const first = mark.all[0].moment, length = mark.all.at(-1).moment - first;
    this.#show(first + length * 1.5 + 500, Math.max(length * 2 + 1000, SHORTEST));
  }

  #onHover(event) {
    const mark = this.#markAt(event.target);
    if (mark === this.hovered) return;
    this.hovered = mark;
    this.#read();
  }
}

function readOne(transition, now) {
  return [
    h("time", { datetime: transition.at }, clock(transition.moment, now, { parts: "ms" })), " ",
    h("span", { class: "mono" }, transition.router), ` ${transition.vrrp_instance} `, changeView(transition), " ",
    CAUSES[transition.cause] ?? transition.cause,
  ];
}

function readMany(all, now) {
  const causes = new Map();
  for (const { cause } of all) causes.set(cause, (causes.get(cause) ?? 0) + 1);
  return [
    `${counted(all.length, "transition")} to `, h("b", null, all[0].to), ", ",
    clock(all[0].moment, now), " to ", clock(all.at(-1).moment, now), ": ",
    [...causes].sort((a, b) => b[1] - a[1]).map(([cause, count]) => `${count} × ${cause}`).join(", "),
  ];
}
