// What an answer tells about itself: its time, its stages, whether it is degraded, and its warnings.

import { h } from "./dom.js";
import { count, milliseconds } from "./format.js";

const WARNINGS = {
  unknown_tokens: "The model does not know a part of the query.",
  only_exclusions: "The query has only excluded words, so nothing can match.",
  group_limit: "There may be more groups.",
  not_reranked: "The reranker did not answer.",
  rerank_truncated: "The reranker read only the beginning of some texts.",
};
const STAGES = {
  filter: "filter", queue: "wait for the embedder", embed: "embed the query", index: "vector index", words: "keyword index", fetch: "read documents",
};

function stages({ stages_ms: took, candidates, attempts }) {
  const rows = Object.entries(took).filter(([, value]) => value !== null)
    .map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, STAGES[name] ?? name), h("td", {}, milliseconds(value))));
  const found = Object.entries(candidates).filter(([, value]) => value !== null)
    .map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, `candidates: ${name}`), h("td", {}, count(value))));
  return h("table", { class: "figures" }, h("tbody", {}, rows, found,
    attempts > 1 && h("tr", {}, h("th", { scope: "row" }, "attempts"), h("td", {}, attempts))));
}

/** Returns the nodes above the hits of an answer. */
export function answerHead(reply) {
  const notes = [
    reply.degraded && `Degraded: ${reply.mode === "lexical" ? "only keyword search" : "only vector search"} could answer.`,
    reply.query_truncated && "The query is longer than the model reads; the rest did not count.",
    ...(reply.warnings ?? []).map((name) => WARNINGS[name] ?? name),
  ].filter(Boolean);
  const took = milliseconds(reply.took_ms);
  return [
    reply.explain
      ? h("details", { class: "took" }, h("summary", {}, took, h("span", { class: "hidden" }, ": how the search came to it")), stages(reply.explain))
      : h("p", { class: "took" }, took),
    notes.map((note) => h("p", { class: "warning" }, note)),
  ];
}
