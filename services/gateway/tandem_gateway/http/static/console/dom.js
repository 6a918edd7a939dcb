// Makes elements. Texts become text nodes only, so data can never become a part of the page's structure.

const SVG = "http://www.w3.org/2000/svg";

function set(node, props) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "indeterminate") node[name] = value;
    else if (name === "width%") node.style.width = `${Math.max(0, Math.min(100, value))}%`; // not by the attribute: the policy forbids it
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** Returns an element. Props are attributes, or listeners that begin with "on"; children are nodes and texts. */
export function h(tag, props, ...children) {
  const node = document.createElement(tag);
  add(node, children);
  set(node, props); // after the children, so that a select has its options when it gets its value
  return node;
}

/** Returns an element of SVG. */
export function svg(tag, props, ...children) {
  const node = document.createElementNS(SVG, tag);
  set(node, props);
  return add(node, children);
}

/** Replaces the children of a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, children);
}

let last = 0;

/** Returns an id that no other element has. */
export function id(prefix = "id") {
  last += 1;
  return `${prefix}-${last}`;
}

/** Returns a label above a control, with an optional hint below it. */
export function field(label, control, hint) {
  control.id ||= id("field");
  const hintId = hint ? id("hint") : null;
  if (hintId) control.setAttribute("aria-describedby", hintId);
  return h("div", { class: "field" },
    h("label", { for: control.id }, label), control, hint && h("p", { class: "hint", id: hintId }, hint));
}

/** Returns a select. Options are values, or pairs of a value and its text. */
export function select(options, value, props) {
  const nodes = options.map((option) => {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: key }, text);
  });
  return h("select", { ...props, value }, nodes);
}

/** Returns a function that runs the last call only, after a pause. */
export function debounced(run, milliseconds) {
  let timer = null;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds, ...values);
  };
}

/** Waits, or stops waiting when the signal aborts. Returns whether the time has passed. */
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(false);
    const done = setTimeout(resolve, milliseconds, true);
    signal?.addEventListener("abort", () => { clearTimeout(done); resolve(false); }, { once: true });
  });
}
