// A view is a description made by `h`; `morph` changes the document only where it differs from the
// last one. Text stays text: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "rect", "line", "text", "title"]);
const last = new WeakMap(); // element -> the description it was made from

/** An element: `h("td", { class: "x", onclick }, "text", h("b"), null)`. `key` names it among siblings. */
export function h(tag, attributes, ...children) {
  const { key, ...others } = attributes ?? {};
  return { tag, key, attributes: others, children: children.flat(Infinity).filter(isShown) };
}

/** Make these the children of an element, with as few changes as can be. */
export function morph(parent, ...children) {
  const wanted = children.flat(Infinity).filter(isShown);
  const keyed = new Map();
  for (const child of parent.childNodes) {
    const key = last.get(child)?.key;
    if (key !== undefined) keyed.set(key, child);
  }
  let place = parent.firstChild;
  for (const child of wanted) {
    const found = child.key === undefined ? place : keyed.get(child.key);
    if (found && fits(found, child)) {
      if (found === place) place = place.nextSibling;
      else parent.insertBefore(found, place);
      update(found, child);
    } else {
      parent.insertBefore(create(child), place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

/** Change one element that a view of the same tag describes. */
export function update(element, view) {
  if (typeof view !== "object") {
    if (element.data !== String(view)) element.data = String(view);
    return;
  }
  const before = last.get(element)?.attributes ?? {};
  for (const [name, value] of Object.entries(view.attributes)) {
    if (before[name] !== value) set(element, name, value);
  }
  for (const name of Object.keys(before)) {
    if (!(name in view.attributes)) set(element, name, null);
  }
  last.set(element, view);
  morph(element, view.children);
}

export function create(view) {
  if (typeof view !== "object") return document.createTextNode(String(view));
  const element = SVG_TAGS.has(view.tag)
    ? document.createElementNS(SVG, view.tag) : document.createElement(view.tag);
  update(element, view);
  return element;
}

function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

function fits(node, view) {
  if (typeof view !== "object") return node.nodeType === Node.TEXT_NODE;
  return node.localName === view.tag && last.get(node)?.key === view.key;
}

/** What a person changed (an open <details>, a typed value) stays until the view itself changes. */
function set(element, name, value) {
  if (name.startsWith("on")) element[name] = value;
  else if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}
