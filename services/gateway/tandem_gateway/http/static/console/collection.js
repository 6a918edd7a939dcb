// One collection: its sizes and settings, its fields with their most frequent values, and its documents.

import * as api from "./api.js";
import { h } from "./dom.js";
import { bytes, count, plain, several, short } from "./format.js";
import { fieldsOf } from "./collection_picker.js";
import { chunkingText } from "./collections.js";
import { textOf } from "./filter.js";
import { toDocument, toIngest, toSearch } from "./links.js";
import { confirmed, empty, show, toast } from "./states.js";

const PAGE = 25;
const MAX_FIELDS = 12;

function facts(each) {
  const estimated = each.disk_bytes_estimated ? " (estimate)" : "";
  const rows = {
    Documents: count(each.document_count), "Wait for embedding": count(each.pending_documents), Passages: count(each.passages),
    "On disk": bytes(each.disk_bytes) + (each.disk_bytes === null ? "" : estimated), "In memory": bytes(each.memory_bytes),
    "Index is behind by": each.changes_behind === null ? "–" : several(each.changes_behind, "passage"),
    Model: each.model ? `${each.model}, ${each.dim} dimensions` : "none until the first vector", Fingerprint: each.fingerprint ?? "–",
    "Split texts": chunkingText(each.chunking), Language: each.language, Engine: each.engine,
  };
  return h("section", { class: "card", "aria-labelledby": "facts-title" }, h("h2", { id: "facts-title" }, "Settings and sizes"),
    h("dl", { class: "facts" }, Object.entries(rows).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

function facet(collection, name, { values, other_count: others }) {
  const most = Math.max(...values.map((each) => each.count), 1);
  const item = ({ value, count: number }) => {
    const rows = [{ field: name, operator: facet.lists.has(name) ? "$contains" : "$eq", value: textOf(value) }];
    return h("li", { class: "facet" },
      h("a", { href: toSearch({ collection, f: JSON.stringify(rows) }), dir: "auto" }, short(plain(value), 60)),
      h("span", { class: "number" }, count(number)),
      h("div", { class: "bar", "aria-hidden": "true" }, h("span", { class: "dense", "width%": (100 * number) / most })));
  };
  return h("div", { class: "stack" }, h("h3", { dir: "auto" }, short(name, 60)),
    values.length ? h("ul", { class: "plain stack-small" }, values.map(item)) : h("p", { class: "hint" }, "only objects"),
    others > 0 && h("p", { class: "hint" }, `other values: ${count(others)}`));
}
facet.lists = new Set();

async function facets(collection, signal) {
  const fields = (await fieldsOf(collection, signal)).slice(0, MAX_FIELDS);
  if (!fields.length) return empty("The first documents have no metadata");
  const reply = await api.post(api.at(collection, "facets"), { fields, limit: 6 }, { signal });
  const { documents } = await api.get(api.at(collection, "documents"), { query: { limit: 50 }, signal });
  facet.lists = new Set(fields.filter((name) => documents.some(({ metadata }) => Array.isArray(metadata[name]))));
  const total = (name) => reply.facets[name].values.reduce((sum, each) => sum + each.count, reply.facets[name].other_count);
  fields.sort((a, b) => total(b) - total(a));
  return h("div", { class: "grid small" }, fields.map((name) => facet(collection, name, reply.facets[name])));
}

/** Returns a table of documents. */
function table(collection, documents) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "List of documents" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Id"), h("th", { scope: "col" }, "Text"), h("th", { scope: "col" }, "Vector"))),
    h("tbody", {}, documents.map((each) => h("tr", {},
      h("th", { scope: "row" }, h("a", { href: toDocument(collection, each.id), dir: "auto" }, each.id)),
      h("td", { dir: "auto", class: "cut" }, short(each.text, 140)),
      h("td", {}, each.embedded ? (each.truncated ? h("span", { class: "tag warn" }, "truncated") : h("span", { class: "tag good" }, "yes"))
        : h("span", { class: "tag live" }, "waits")))))));
}

function documents(collection, signal) {
  const place = h("div");
  const cursors = [null];
  const page = () => show(place, async () => {
    const cursor = cursors.at(-1);
    const reply = await api.get(api.at(collection, "documents"), { query: { limit: PAGE, cursor }, signal });
    const turn = (change) => () => { change(); page(); };
    return [
      reply.documents.length ? table(collection, reply.documents)
        : empty("No documents", h("a", { class: "button primary", href: toIngest(collection) }, "Ingest documents")),
      (cursors.length > 1 || reply.next_cursor) && h("p", { class: "row end" },
        h("button", { type: "button", disabled: cursors.length < 2, onclick: turn(() => cursors.pop()) }, "Previous page"),
        h("button", { type: "button", disabled: !reply.next_cursor, onclick: turn(() => cursors.push(reply.next_cursor)) }, "Next page")),
    ];
  }, { signal });
  page();
  return h("section", { class: "card", "aria-labelledby": "documents-title" }, h("h2", { id: "documents-title" }, "Documents"), place);
}

/** Returns the view. */
export async function collectionView({ parts: [name], signal, title }) {
  title(name);
  const settings = h("div");
  const values = h("div");

  async function remove() {
    if (!(await confirmed(`Delete ${name}?`, "All its documents and vectors are deleted. This cannot be undone.", "Delete the collection"))) return;
    try {
      await api.remove(api.at(name), { signal });
      toast(`The collection ${name} is deleted.`);
      location.hash = "#/collections";
    } catch (error) {
      if (!api.aborted(error)) toast(`Not deleted: ${error.message}`);
    }
  }

  show(settings, async () => facts(await api.get(api.at(name), { signal })), { signal });
  show(values, () => facets(name, signal), { signal });
  return [
    h("p", {}, h("a", { href: "#/collections" }, "Collections")),
    h("div", { class: "row spread" }, h("h1", {}, name), h("div", { class: "row" },
      h("a", { class: "button primary", href: toSearch({ collection: name }) }, "Search"),
      h("a", { class: "button", href: toIngest(name) }, "Ingest"),
      h("a", { class: "button", href: `#/map?collection=${encodeURIComponent(name)}` }, "Map"),
      h("button", { type: "button", onclick: remove }, "Delete…"))),
    h("div", { class: "grid" }, settings,
      h("section", { class: "card", "aria-labelledby": "fields-title" }, h("h2", { id: "fields-title" }, "Fields"), values)),
    documents(name, signal),
  ];
}
