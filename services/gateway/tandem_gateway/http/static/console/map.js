// A map of a sample: vectors in the two directions in which they differ most, and a table that says the same.

import * as api from "./api.js";
import { field, fill, h, select } from "./dom.js";
import { flat, plain, several, short } from "./format.js";
import { collectionPicker } from "./collection_picker.js";
import { toDocument, toIngest } from "./links.js";
import { drawMap, nearest, PALETTE } from "./map_canvas.js";
import { project } from "./pca.js";
import { empty, show } from "./states.js";

const SIZES = ["100", "300", "1000"];
const MAX_LEGEND = PALETTE.length - 1;
const OTHER = "other values";

/** Returns a vector of a random direction. */
const random = (dim) => Array.from({ length: dim }, () => Number((Math.random() + Math.random() + Math.random() - 1.5).toFixed(4)));

/** Returns the documents that are nearest to a random direction: in many dimensions these lie everywhere. */
async function sample(collection, dim, size, signal) {
  const body = { collection, vector: random(dim), top_k: size, include: ["vector"], exclude: ["text"] };
  const { results } = await api.post("v1/search/similar", body, { signal });
  return results.filter((hit) => hit.vector);
}

/** Returns the fields by which documents can be coloured: of two and more documents, the fewest values first. */
function colourFields(hits) {
  const values = new Map();
  for (const { metadata } of hits) {
    for (const [name, value] of flat(metadata)) {
      if (!Array.isArray(value)) values.set(name, (values.get(name) ?? []).concat(plain(value)));
    }
  }
  return [...values].filter(([, all]) => all.length > 1)
    .map(([name, all]) => [name, new Set(all).size, all.length])
    .sort((a, b) => (a[1] > 30) - (b[1] > 30) || b[2] - a[2] || a[1] - b[1]).map(([name]) => name);
}

/** Returns [groups, group of each hit]: the most frequent values of a field first, then all others. */
function grouped(hits, name) {
  const values = hits.map(({ metadata }) => {
    const found = flat(metadata).find(([path]) => path === name);
    return found ? plain(found[1]) : OTHER;
  });
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const groups = [...counts.keys()].filter((value) => value !== OTHER).sort((a, b) => counts.get(b) - counts.get(a)).slice(0, MAX_LEGEND);
  const used = values.map((value) => (groups.includes(value) ? groups.indexOf(value) : MAX_LEGEND));
  if (used.includes(MAX_LEGEND)) groups[MAX_LEGEND] = OTHER;
  return [groups, used];
}

const percent = (share) => `${Math.round(share * 100)} %`;

function picture(collection, hits, signal) {
  const { points, shares } = project(hits.map((hit) => hit.vector));
  const names = colourFields(hits);
  const by = select([["", "nothing"], ...names.map((name) => [name, short(name, 40)])], names[0] ?? "", { onchange: redraw });
  const label = `Map of ${several(hits.length, "document")} of ${collection}. The table below has them all.`;
  const canvas = h("canvas", { class: "map", role: "img", "aria-label": label, onmousemove: point, onmouseleave: () => point(null), onclick: open });
  const legend = h("ul", { class: "legend plain" });
  const tip = h("p", { class: "hint map-tip" });
  const rows = h("tbody");
  let used = [];
  let held = -1;

  function redraw() {
    let groups;
    [groups, used] = by.value ? grouped(hits, by.value) : [[], hits.map(() => 0)];
    fill(legend, groups.map((value, at) => value !== undefined && h("li", { dir: "auto" }, h("span", { class: `swatch c${at}`, "aria-hidden": "true" }), short(value, 40))));
    fill(rows, hits.map((hit, at) => h("tr", {},
      h("th", { scope: "row" }, h("a", { href: toDocument(collection, hit.id), dir: "auto" }, hit.id)),
      h("td", { dir: "auto" }, by.value ? short(groups[used[at]] ?? "", 60) : "–"),
      h("td", { class: "number" }, points[at][0].toFixed(3)), h("td", { class: "number" }, points[at][1].toFixed(3)))));
    drawMap(canvas, points, used, held);
  }

  function point(event) {
    const found = event ? nearest(canvas, points, event) : -1;
    if (found === held) return;
    held = found;
    canvas.classList.toggle("pointing", held >= 0);
    const hit = hits[held];
    fill(tip, hit ? [h("b", { dir: "auto" }, hit.id), " ", h("span", { dir: "auto" }, short(hit.passage?.text ?? "", 160))] : "Point at a dot to see its document; a click opens it.");
    drawMap(canvas, points, used, held);
  }

  function open(event) {
    const found = nearest(canvas, points, event);
    if (found >= 0) location.hash = toDocument(collection, hits[found].id);
  }

  held = null;
  point(null);
  const again = () => drawMap(canvas, points, used, held);
  const sizes = new ResizeObserver(again);
  sizes.observe(canvas);
  const colours = new MutationObserver(again);
  colours.observe(document.documentElement, { attributeFilter: ["data-colours"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again, { signal });
  signal.addEventListener("abort", () => { sizes.disconnect(); colours.disconnect(); });
  redraw();
  return h("div", { class: "stack" },
    h("div", { class: "row spread" }, h("div", { class: "colour-by" }, field("Colours by", by)), legend),
    canvas, tip,
    h("p", { class: "hint" }, `${several(hits.length, "document")}, each at its passage nearest to a random direction. `
      + `The axes are the first two principal components, with ${percent(shares[0])} and ${percent(shares[1])} of the variance: near dots may still be far apart in the other dimensions.`),
    h("details", {}, h("summary", {}, "Table of the documents"),
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Documents of the map" }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Document"), h("th", { scope: "col" }, "Group"),
          h("th", { scope: "col", class: "number" }, "Across"), h("th", { scope: "col", class: "number" }, "Up"))), rows))));
}

/** Returns the view. */
export async function mapView({ query, signal }) {
  const { picker, chosen, collections } = await collectionPicker(query.get("collection"), signal, draw);
  const place = h("div", { id: "map" });
  const size = select(SIZES, "300", { onchange: draw });
  let drawing = new AbortController();

  function draw() {
    drawing.abort();
    drawing = new AbortController();
    const stop = AbortSignal.any([signal, drawing.signal]);
    show(place, async () => {
      const { dim } = await api.get(api.at(chosen()), { signal: stop });
      const hits = dim ? await sample(chosen(), dim, Number(size.value), stop) : [];
      if (hits.length < 2) return nothing(chosen());
      return picture(chosen(), hits, stop);
    }, { signal: stop, text: "Reading a sample…" });
  }

  if (!collections.length) return [h("h1", {}, "Map"), nothing("default")];
  draw();
  return [h("h1", {}, "Map"),
    h("div", { class: "card" }, h("div", { class: "search-line" }, field("Collection", picker), field("Documents", size),
      h("button", { type: "button", onclick: draw }, "Another sample")), place)];
}

const nothing = (collection) => empty("A map needs two documents with vectors",
  h("a", { class: "button primary", href: toIngest(collection) }, "Ingest documents"));
