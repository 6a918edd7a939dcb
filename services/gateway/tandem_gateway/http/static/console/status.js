// The health of the gateway, its embedders, and charts of the last minutes from its metrics.

import * as api from "./api.js";
import { chart } from "./charts.js";
import { fill, h, pause } from "./dom.js";
import { bytes, count, milliseconds, short, time } from "./format.js";
import { having, parseMetrics, quantile, rate, sum } from "./metrics.js";
import { failure, loading } from "./states.js";

const LOOK_MS = 2000;
const READINGS = 90;
const LEAST_ROOM = 20;
const SEARCH = { route: "/v1/search" };
const TIMES = "tandem_gateway_request_duration_seconds";

const rounded = (value) => (value < 10 ? value.toFixed(1) : count(Math.round(value)));
const inMilliseconds = (value) => (value === null ? null : value * 1000);
const gauge = (name, labels) => (_, now) => sum(now.samples, name, labels);
const growth = (name, labels) => (before, now) => (before ? rate(before, now, name, labels) : null);
const share = (part) => (before, now) => (before ? inMilliseconds(quantile(part, before, now, TIMES, SEARCH)) : null);

// Title → lines [name, function of two readings, colour], and the text of a value.
const CHARTS = [
  ["Requests a second", [["all", growth("tandem_gateway_requests_total"), "dense"], ["searches", growth("tandem_gateway_searches_total"), "hybrid"]], rounded],
  ["Time of a search", [["half below", share(0.5), "dense"], ["95 % below", share(0.95), "lexical"]], milliseconds],
  ["Documents that wait for embedding", [["", gauge("tandem_gateway_pending_documents"), "dense"]], count],
  ["Documents embedded a second", [["", growth("tandem_gateway_documents_embedded_total"), "dense"]], rounded],
  ["Searches that wait for the embedder", [["", gauge("tandem_gateway_queued_queries"), "lexical"]], count],
  ["Memory held by requests", [["", gauge("tandem_gateway_in_flight_bytes"), "dense"]], bytes],
  ["Memory of the process", [["", gauge("process_resident_memory_bytes"), "dense"]], bytes],
  ["Canary's share", [["", gauge("tandem_gateway_canary_weight"), "lexical"]], (value) => `${value} %`, 100],
];

const KINDS = { ok: "good", degraded: "warn", starting: "live", failed: "bad", serving: "good", ejected: "bad", draining: "warn" };
const tag = (text) => h("span", { class: `tag ${KINDS[text] ?? ""}` }, text);

function healthCard(health) {
  const rows = {
    Version: health.version, Model: health.model ?? "–", Fingerprint: health.fingerprint ?? "–",
    Embedder: health.model_loaded ? "ready" : "not ready", Documents: count(health.document_count), "Wait for embedding": count(health.pending_documents),
  };
  return [h("div", { class: "row spread" }, h("h2", {}, "Gateway"), tag(health.status)),
    health.detail && h("p", { class: "warning", dir: "auto" }, health.detail),
    h("dl", { class: "facts" }, Object.entries(rows).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))];
}

function replicasTable(rows) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Embedders by pool" }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Embedder"), h("th", { scope: "col" }, "Pool"), h("th", { scope: "col" }, "State"), h("th", { scope: "col", class: "number" }, "Calls"))),
    h("tbody", {}, rows.map(({ address, pool, status, calls, fingerprint }) => h("tr", {},
      h("th", { scope: "row" }, address, fingerprint && [h("br"), h("small", { title: fingerprint }, short(fingerprint, 12))]),
      h("td", {}, pool), h("td", {}, tag(status)), h("td", { class: "number" }, count(calls)))))));
}

/** Returns the rows of the table from the operators' route. */
const ofTraffic = (traffic) => ["stable", "canary"].filter((pool) => traffic[pool]).flatMap((pool) => traffic[pool].replicas.map((each) => ({
  address: each.address, pool, status: each.status, calls: each.calls_in_flight, fingerprint: each.fingerprint,
})));

/** Returns the rows from the metrics, which everybody may read. */
const ofMetrics = ({ samples }) => having(samples, "tandem_gateway_replica_ejected").map(({ labels, value }) => ({
  address: labels.replica, pool: labels.pool, status: value ? "ejected" : "serving",
  calls: sum(samples, "tandem_gateway_replica_calls_in_flight", labels),
}));

function trafficNotes(traffic) {
  if (!traffic?.canary) return h("p", { class: "hint" }, traffic ? "No canary is configured." : "An operator's key shows the models of the embedders, and the canary.");
  const back = traffic.last_roll_back;
  return [h("dl", { class: "facts" },
    h("dt", {}, "Canary's share"), h("dd", {}, `${traffic.canary_weight} %, shadow calls ${traffic.shadow_percent} %`),
    h("dt", {}, "Compared texts"), h("dd", {}, count(traffic.compared_texts), traffic.cosine_p5 === null ? "" : `, cosine of 95 % above ${traffic.cosine_p5.toFixed(4)}`)),
  back && h("p", { class: "warning", dir: "auto" }, `Rolled back ${time(back.at)}: ${back.reason}, ${back.detail}`)];
}

/** Returns the view. */
export async function statusView({ signal }) {
  const health = h("section", { class: "card", "aria-label": "Gateway" }, loading());
  const embedders = h("section", { class: "card", "aria-label": "Embedders" }, loading());
  const charts = h("div", { class: "grid small" });
  const problem = h("div");
  const series = CHARTS.map(([, lines]) => lines.map(() => []));
  let before = null;
  let traffic;

  function draw(now) {
    fill(charts, CHARTS.map(([title, lines, text, top], at) => {
      lines.forEach(([, value], line) => {
        series[at][line].push(value(before, now));
        if (series[at][line].length > READINGS) series[at][line].shift();
      });
      if (series[at].every((values) => values.every((value) => value === null)) && before) return null;
      return chart(title, lines.map(([name, , kind], line) => ({ name, kind, values: series[at][line] })), { text, most: Math.max(LEAST_ROOM, series[at][0].length), top });
    }));
  }

  async function look() {
    fill(problem);
    while (!signal.aborted) {
      try {
        fill(health, healthCard(await api.health({ signal })));
        const now = { at: Date.now(), samples: parseMetrics(await api.text("metrics", { signal })) };
        if (traffic !== null) {
          traffic = await api.get("v1/admin/traffic", { signal }).catch((error) => { if (api.aborted(error)) throw error; return null; });
        }
        if (signal.aborted) return;
        const rows = traffic ? ofTraffic(traffic) : ofMetrics(now);
        fill(embedders, h("h2", {}, "Embedders"), rows.length ? replicasTable(rows) : h("p", { class: "hint" }, "The gateway knows none yet."), trafficNotes(traffic));
        draw(now);
        before = now;
      } catch (error) {
        if (!signal.aborted) fill(problem, failure(error, look, signal));
        return;
      }
      await pause(LOOK_MS, signal);
    }
  }
  look();
  return [h("h1", {}, "Status"), problem, h("div", { class: "grid" }, health, embedders),
    h("h2", {}, "Since this page is open"), charts];
}
