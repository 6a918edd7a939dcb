// One hit of a search: its score and where that comes from, its best passage, and its metadata.

import { h } from "./dom.js";
import { flat, plain, score, short } from "./format.js";
import { excerpt, marked } from "./highlight.js";
import { toDocument } from "./links.js";

const MAX_CHIPS = 8;

/** Returns the bar of a score: in hybrid search its two parts, or else its share of the best score. */
function bar(hit, mode, best) {
  const { dense, lexical } = hit.explain ?? {};
  if (mode === "hybrid" && (dense || lexical)) {
    return h("div", { class: "bar", "aria-hidden": "true" },
      h("span", { class: "dense", "width%": 100 * (dense?.part ?? 0) }),
      h("span", { class: "lexical", "width%": 100 * (lexical?.part ?? 0) }));
  }
  const share = mode === "dense" ? Math.max(0, hit.score) : best > 0 ? hit.score / best : 0;
  return h("div", { class: "bar", "aria-hidden": "true" }, h("span", { class: mode, "width%": 100 * share }));
}

function source(name, label, unit, hit) {
  const found = hit.explain?.[name];
  if (!found) return h("li", { class: `part ${name} absent` }, `${label}: not found`);
  const part = found.part === null ? "" : ` → ${score(found.part)}`;
  return h("li", { class: `part ${name}` }, `${label} #${found.rank}: ${unit} ${score(found.score)}${part}`);
}

function chips(metadata, chosen) {
  const all = flat(metadata);
  const shown = all.slice(0, MAX_CHIPS).flatMap(([field, value]) => {
    const list = Array.isArray(value);
    return (list ? value.slice(0, 4) : [value]).map((each) => h("li", {}, h("button", {
      type: "button", class: "chip", title: "Filter by this value", dir: "auto",
      onclick: () => chosen(field, list ? "$contains" : "$eq", each),
    }, h("span", { class: "chip-name" }, short(field, 30)), ` ${short(plain(each), 40)}`)));
  });
  return shown.length > 0 && h("ul", { class: "chips plain", "aria-label": "Metadata" },
    shown, all.length > MAX_CHIPS && h("li", { class: "hint" }, `and ${all.length - MAX_CHIPS} more`));
}

/** Returns the text that a hit shows, with the words of the query marked. */
export function body(hit) {
  const { passage } = hit;
  const [text, ranges] = excerpt(passage?.text ?? hit.text ?? "", passage?.highlights ?? hit.highlights ?? []);
  return [
    passage?.heading && h("p", { class: "heading", dir: "auto" }, passage.heading.replace(/^#+\s*/, "")),
    h("p", { class: "passage", dir: "auto" }, marked(text, ranges)),
  ];
}

/** Returns a hit as an item of a list.

 * context: {collection, mode, best, rank, chosen(field, operator, value), same(id or null)}; `best` is the best score.
 */
export function hitItem(hit, { collection, mode, best, rank, chosen, same }) {
  return h("li", {
    class: "hit", "data-id": hit.id,
    onmouseenter: () => same?.(hit.id), onmouseleave: () => same?.(null),
    onfocusin: () => same?.(hit.id), onfocusout: () => same?.(null),
  },
  h("div", { class: "hit-head" },
    h("span", { class: "rank", "aria-hidden": "true" }, rank),
    h("a", { class: "hit-id", href: toDocument(collection, hit.id, hit.passage), dir: "auto" }, hit.id),
    h("span", { class: "score" }, h("span", { class: "hidden" }, "Score "), score(hit.score))),
  bar(hit, mode, best),
  body(hit),
  mode === "hybrid" && hit.explain && h("ul", { class: "parts plain", "aria-label": "Parts of the score" },
    source("dense", "Meaning", "cosine", hit), source("lexical", "Words", "BM25", hit)),
  chips(hit.metadata, chosen));
}
