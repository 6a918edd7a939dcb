// One document: its text with the passage that was found, its metadata, its neighbours, and its deletion.

import * as api from "./api.js";
import { h } from "./dom.js";
import { count, flat, plain, score, short } from "./format.js";
import { marked } from "./highlight.js";
import { toCollection, toDocument, toSearch } from "./links.js";
import { textOf } from "./filter.js";
import { confirmed, empty, failure, show, toast } from "./states.js";

const NEIGHBOURS = 8;

function facts(collection, found) {
  const share = found.unknown === null ? "–" : `${Math.round(found.unknown * 100)} %`;
  const rows = {
    Collection: h("a", { href: toCollection(collection) }, collection),
    Vector: found.embedded ? h("span", { class: "tag good" }, "embedded") : h("span", { class: "tag live" }, "waits for embedding"),
    "Read in part": found.truncated === null ? "–" : found.truncated ? h("span", { class: "tag warn" }, "yes: the model read only the beginning") : "no",
    "Unknown to the model": share, Characters: count(Array.from(found.text).length),
    ...(found.source ? { Source: found.source, Hash: found.hash ?? "–" } : {}),
  };
  return h("section", { class: "card", "aria-labelledby": "facts-title" }, h("h2", { id: "facts-title" }, "Facts"),
    h("dl", { class: "facts" }, Object.entries(rows).map(([name, value]) => [h("dt", {}, name), h("dd", { dir: "auto" }, value)])));
}

function metadata(collection, found) {
  const rows = flat(found.metadata);
  const link = (name, value) => {
    const row = { field: name, operator: Array.isArray(value) ? "$contains" : "$eq", value: textOf(Array.isArray(value) ? value[0] : value) };
    return toSearch({ collection, f: JSON.stringify([row]) });
  };
  return h("section", { class: "card", "aria-labelledby": "metadata-title" }, h("h2", { id: "metadata-title" }, "Metadata"),
    rows.length ? h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", { dir: "auto", class: "wrap" }, name),
      h("dd", { dir: "auto" }, h("a", { href: link(name, value) }, short(plain(value), 400)))]))
      : h("p", { class: "hint" }, "none"));
}

async function neighbours(collection, id, signal) {
  const body = { document_id: id, collection, top_k: NEIGHBOURS, exclude: ["text", "metadata"] };
  let reply;
  try {
    reply = await api.post("v1/search/similar", body, { signal });
  } catch (error) {
    if (error.status !== 409) throw error;
    return empty("No neighbours yet", h("p", { class: "hint" }, "The document waits for its vector."));
  }
  if (!reply.results.length) return empty("It is the only document");
  return h("ol", { class: "hits plain" }, reply.results.map((hit) => h("li", { class: "hit" },
    h("div", { class: "hit-head" }, h("a", { class: "hit-id", href: toDocument(collection, hit.id, hit.passage), dir: "auto" }, hit.id),
      h("span", { class: "score" }, h("span", { class: "hidden" }, "Cosine "), score(hit.score))),
    h("div", { class: "bar", "aria-hidden": "true" }, h("span", { class: "dense", "width%": 100 * hit.score })),
    hit.passage && h("p", { class: "passage hint", dir: "auto" }, short(hit.passage.text, 160)))));
}

/** Returns the view. */
export async function documentView({ parts, query, signal, title }) {
  const [collection, ...rest] = parts;
  const id = rest.join("/");
  title(id);
  const back = h("p", {}, h("a", { href: toCollection(collection) }, collection));
  let found;
  try {
    found = await api.get(api.at(collection, "documents"), { query: { id }, signal });
  } catch (error) {
    if (api.aborted(error)) throw error;
    return [back, h("h1", { dir: "auto" }, id), failure(error, () => dispatchEvent(new HashChangeEvent("hashchange")), signal)];
  }
  const range = [query.get("start"), query.get("end")].map(Number);
  const near = h("div");
  const text = h("div", { class: "text", dir: "auto" }, marked(found.text, range[1] > range[0] ? [range] : []));

  async function remove() {
    if (!(await confirmed("Delete this document?", `${id} is deleted from ${collection}. This cannot be undone.`, "Delete the document"))) return;
    try {
      await api.remove(api.at(collection, "documents"), { query: { id }, signal });
      toast("The document is deleted.");
      location.hash = toCollection(collection);
    } catch (error) {
      if (!api.aborted(error)) toast(`Not deleted: ${error.message}`);
    }
  }

  show(near, () => neighbours(collection, id, signal), { signal });
  return [
    back,
    h("div", { class: "row spread" }, h("h1", { dir: "auto" }, id), h("button", { type: "button", onclick: remove }, "Delete…")),
    h("div", { class: "document" },
      h("section", { class: "card", "aria-labelledby": "text-title" }, h("h2", { id: "text-title" }, "Text"),
        range[1] > range[0] && h("p", { class: "hint" }, "The passage that was found is marked."), text),
      h("div", { class: "stack" }, metadata(collection, found), facts(collection, found),
        h("section", { class: "card", "aria-labelledby": "near-title" }, h("h2", { id: "near-title" }, "Nearest documents"), near))),
  ];
}
