// Search as you type: by meaning, by words, and both together, side by side.

import * as api from "./api.js";
import { debounced, field, fill, h, select } from "./dom.js";
import { several } from "./format.js";
import { filterBuilder, OPERATORS, textOf } from "./filter.js";
import { hitItem } from "./hit.js";
import { toIngest, toSearch } from "./links.js";
import { answerHead } from "./search_answer.js";
import { collectionPicker, fieldsOf } from "./collection_picker.js";
import { empty, failure, loading } from "./states.js";

const PAUSE_MS = 200;
const MODES = {
  hybrid: { title: "Hybrid", hint: "meaning and words, fused", mode: "auto" },
  dense: { title: "Meaning", hint: "dense: cosine of vectors", mode: "dense" },
  lexical: { title: "Words", hint: "lexical: BM25", mode: "lexical" },
};
const SHOWN = [["all", "All three"], ...Object.entries(MODES).map(([name, { title }]) => [name, title])];
const TIP = "Type a question or some words. \"A phrase\" must be there, -word must not, and prefix* stands for all words that begin so.";

function rowsOf(given) {
  try {
    const rows = JSON.parse(given ?? "[]");
    return rows.filter((row) => typeof row.field === "string" && row.operator in OPERATORS && typeof row.value === "string");
  } catch {
    return [];
  }
}

/** Returns the view. */
export async function searchView({ query, signal }) {
  const { picker, chosen: collectionName, collections } = await collectionPicker(query.get("collection"), signal, restart);
  if (!collections.some((each) => each.document_count !== 0 || each.pending_documents !== 0)) return [h("h1", {}, "Search"), nothingStored()];
  const collection = collectionName();
  const fields = await fieldsOf(collection, signal).catch(() => []);
  let running = new AbortController();
  signal.addEventListener("abort", () => running.abort());

  const input = h("input", {
    type: "search", id: "query", value: query.get("q") ?? "", autofocus: true, dir: "auto", maxlength: 8192, enterkeyhint: "search",
    placeholder: "Search by meaning and by words", autocomplete: "off", "aria-describedby": "search-status",
  });
  const top = select(["5", "10", "20", "50"], query.get("top") ?? "10", { id: "top", onchange: search });
  const narrow = matchMedia("(max-width: 60rem)").matches;
  const shown = select(SHOWN, query.get("show") ?? (narrow ? "hybrid" : "all"), { id: "shown", onchange: arrange });
  const later = debounced(search, PAUSE_MS);
  const builder = filterBuilder(() => { summarise(); later(); }, fields, rowsOf(query.get("f")), query.get("any") === null);
  const summary = h("summary", {});
  const filters = h("details", { class: "filters", open: builder.rows.length > 0 }, summary, builder.node);
  const status = h("p", { id: "search-status", role: "status", class: "hint" });
  const columns = Object.fromEntries(Object.entries(MODES).map(([name, { title, hint }]) => {
    const head = h("div", { class: "answer-head" });
    const list = h("div", { class: "answer" });
    const node = h("section", { class: `column ${name}`, "aria-label": title, "data-mode": name },
      h("h2", {}, h("span", { class: `dot ${name}`, "aria-hidden": "true" }), title, h("small", {}, hint)), head, list);
    return [name, { node, head, list }];
  }));
  const grid = h("div", { class: "columns" }, Object.values(columns).map(({ node }) => node));
  input.addEventListener("input", later);

  function restart(name) {
    location.hash = toSearch({ collection: name, q: input.value });
  }

  function summarise() {
    const number = builder.filter() ? builder.rows.length : 0;
    summary.textContent = number ? `Filter (${several(number, "condition")})` : "Filter";
  }

  function remember() {
    const address = toSearch({
      collection, q: input.value, top: top.value === "10" ? null : top.value, show: shown.value === "all" ? null : shown.value,
      f: builder.rows.length ? JSON.stringify(builder.rows) : null, any: builder.all() ? null : "1",
    });
    history.replaceState(null, "", address);
  }

  function arrange() {
    grid.dataset.shown = shown.value;
    for (const [name, { node }] of Object.entries(columns)) node.hidden = shown.value !== "all" && shown.value !== name;
    search();
  }

  function same(id) {
    for (const item of grid.querySelectorAll(".hit")) item.classList.toggle("same", id !== null && item.dataset.id === id);
  }

  function addCondition(name, operator, value) {
    filters.open = true;
    builder.add({ field: name, operator, value: textOf(value) });
  }

  async function one(name, body, stop) {
    const { head, list } = columns[name];
    list.setAttribute("aria-busy", "true");
    list.classList.add("stale");
    if (!list.firstChild) fill(list, loading("Searching…"));
    try {
      const reply = await api.post("v1/search", { ...body, mode: MODES[name].mode }, { signal: stop });
      if (stop.aborted) return null;
      fill(head, answerHead(reply));
      const best = Math.max(...reply.results.map((hit) => hit.score), 0);
      const context = { collection, mode: reply.mode, best, chosen: addCondition, same };
      fill(list, reply.results.length
        ? h("ol", { class: "hits plain" }, reply.results.map((hit, at) => hitItem(hit, { ...context, rank: at + 1 })))
        : empty("Nothing found", h("p", { class: "hint" }, builder.filter() ? "No document fits the query and the filter." : "No document fits the query.")));
      return `${MODES[name].title}: ${several(reply.results.length, "hit")}`;
    } catch (error) {
      if (api.aborted(error) || stop.aborted) return null;
      fill(head);
      fill(list, failure(error, search, signal));
      return `${MODES[name].title}: failed`;
    } finally {
      if (!stop.aborted) {
        list.removeAttribute("aria-busy");
        list.classList.remove("stale");
      }
    }
  }

  // A later search makes this one out of date: its requests end, and its answers are dropped.
  async function search() {
    running.abort();
    running = new AbortController();
    const stop = running.signal;
    if (signal.aborted) return;
    remember();
    const asked = input.value.trim();
    if (!asked) {
      for (const { head, list } of Object.values(columns)) fill(head), fill(list);
      grid.hidden = true;
      status.textContent = TIP;
      return;
    }
    grid.hidden = false;
    const body = { query: asked, collection, top_k: Number(top.value), highlight: true, explain: true, exclude: ["text"] };
    const filter = builder.filter();
    if (filter) body.filter = filter;
    const names = Object.keys(MODES).filter((name) => !columns[name].node.hidden);
    const said = await Promise.all(names.map((name) => one(name, body, stop)));
    if (!stop.aborted) status.textContent = `${said.filter(Boolean).join(", ")}.`;
  }

  summarise();
  arrange();
  return [
    h("h1", { class: "hidden" }, "Search"),
    h("form", { class: "card search", role: "search", onsubmit: (event) => { event.preventDefault(); search(); } },
      h("div", { class: "search-line" },
        h("div", { class: "field grow" }, h("label", { for: "query" }, "Query"), input),
        field("Collection", picker), field("Hits", top), field("Show", shown)),
      filters),
    status, grid,
  ];
}

const nothingStored = () => empty("Nothing is stored yet",
  h("p", {}, "An ingest stores documents. Searches find them a moment later."),
  h("p", { class: "row" }, h("a", { class: "button primary", href: toIngest() }, "Ingest documents")));
