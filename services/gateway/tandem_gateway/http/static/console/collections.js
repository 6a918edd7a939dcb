// The list of collections, and a form that creates one.

import * as api from "./api.js";
import { field, h, select } from "./dom.js";
import { count } from "./format.js";
import { toCollection, toIngest, toSearch } from "./links.js";
import { empty, failure, show } from "./states.js";

/** Languages of keyword search, as in the API. */
export const LANGUAGES = (
  "english none arabic armenian basque catalan czech danish dutch esperanto estonian finnish french german greek hindi hungarian "
  + "indonesian irish italian lithuanian nepali norwegian persian polish portuguese romanian russian serbian sesotho spanish swedish "
  + "tamil turkish yiddish"
).split(" ");

/** Returns how a collection's texts are split, as a text. */
export function chunkingText(chunking) {
  if (!chunking) return "none: each text is one vector";
  const { max_tokens: most, overlap_tokens: overlap } = chunking;
  return `passages of ${most ? `${most} tokens` : "the model's length"}, ${overlap === null || overlap === undefined ? "a tenth" : `${overlap} tokens`} repeated`;
}

function card(each) {
  return h("li", { class: "card" },
    h("h2", {}, h("a", { href: toCollection(each.name) }, each.name)),
    h("p", { class: "big" }, count(each.document_count), " ", h("small", {}, each.document_count === 1 ? "document" : "documents")),
    each.pending_documents > 0 && h("p", {}, h("span", { class: "tag live" }, `${count(each.pending_documents)} wait for embedding`)),
    h("dl", { class: "facts" },
      h("dt", {}, "Model"), h("dd", {}, each.model ? `${each.model} (${each.dim})` : "none until the first vector"),
      h("dt", {}, "Language"), h("dd", {}, each.language),
      h("dt", {}, "Engine"), h("dd", {}, each.engine)),
    h("p", { class: "row" },
      h("a", { class: "button", href: toSearch({ collection: each.name }), "aria-label": `Search ${each.name}` }, "Search"),
      h("a", { class: "button", href: toIngest(each.name), "aria-label": `Ingest into ${each.name}` }, "Ingest")));
}

function creation(signal) {
  const name = h("input", { type: "text", required: true, maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off" });
  const language = select(LANGUAGES, "english");
  const split = select([["default", "into passages"], ["none", "not at all"]], "default");
  const answer = h("div");

  async function create(event) {
    event.preventDefault();
    try {
      const body = { language: language.value, ...(split.value === "none" ? { chunking: null } : {}) };
      await api.put(api.at(name.value), body, { signal });
      location.hash = toCollection(name.value);
    } catch (error) {
      if (!api.aborted(error)) answer.replaceChildren(failure(error));
    }
  }
  return h("details", { class: "card" }, h("summary", {}, "New collection"),
    h("form", { class: "stack", onsubmit: create },
      h("div", { class: "fields" },
        field("Name", name, "Letters, digits, dots, underscores and hyphens; the first is a letter or a digit."),
        field("Language of the words", language), field("Split long texts", split)),
      answer, h("p", { class: "row" }, h("button", { class: "primary" }, "Create"))));
}

/** Returns the view. */
export async function collectionsView({ signal }) {
  const list = h("div");
  show(list, async () => {
    const { collections } = await api.get("v1/collections", { signal });
    if (!collections.length) {
      return empty("There are no collections yet", h("p", { class: "row" }, h("a", { class: "button primary", href: toIngest() }, "Ingest documents")));
    }
    return h("ul", { class: "grid plain" }, collections.map(card));
  }, { signal });
  return [h("h1", {}, "Collections"), list, creation(signal)];
}
