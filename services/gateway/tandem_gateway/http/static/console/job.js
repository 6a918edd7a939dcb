// One job: its progress as it happens, what failed and why, and its documents.

import * as api from "./api.js";
import { fill, h, pause, select } from "./dom.js";
import { count, time } from "./format.js";
import { counts, ended, failures, progress, tag } from "./job_parts.js";
import { toCollection, toDocument } from "./links.js";
import { empty, failure, loading, show, toast } from "./states.js";

const AGAIN_MS = 1000;

/** Follows a job by its events until it has ended; calls `changed` with each state.
 *
 * A stream that breaks or is refused for want of room is replaced by reads of the job.
 */
export async function follow(id, changed, signal) {
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  while (!signal.aborted) {
    try {
      for await (const { name, data } of api.events(`${path}/events`, { signal })) {
        if (name === "refused") throw new api.ApiError(401, data.message);
        if (name === "end") {
          changed(await api.get(path, { signal })); // with its failures, which events do not have
          return;
        }
        changed(data);
      }
      await pause(AGAIN_MS, signal); // the gateway stops: the next stream has the present state
    } catch (error) {
      if (![0, 429, 503].includes(error.status)) throw error;
      if (!(await pause((error.retryAfter ?? 1) * AGAIN_MS, signal))) return;
      const job = await api.get(path, { signal });
      changed(job);
      if (ended(job)) return;
    }
  }
}

const STATUSES = [["", "all"], "pending", "embedded", "truncated", "unreadable", "unchanged", "failed", "cancelled", "replaced", "deleted", "skipped"];

function documents(job, signal) {
  const place = h("div");
  const status = select(STATUSES, "", { id: "document-status", onchange: () => read(null) });
  const row = (each) => h("tr", {},
    h("th", { scope: "row" }, each.id === null ? "–" : h("a", { href: toDocument(job.collection, each.id), dir: "auto" }, each.id)),
    h("td", {}, each.status), h("td", { dir: "auto" }, each.reason ?? ""));
  const read = (cursor) => show(place, async () => {
    const reply = await api.get(`v1/jobs/${encodeURIComponent(job.job_id)}/documents`, { query: { limit: 50, status: status.value, cursor }, signal });
    return [
      reply.documents.length ? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Documents of the job" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Id", "Status", "Reason"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, reply.documents.map(row)))) : empty("No such documents on this page"),
      reply.next_cursor && h("p", { class: "row end" }, h("button", { type: "button", onclick: () => read(reply.next_cursor) }, "Next page")),
    ];
  }, { signal });
  read(null);
  return h("section", { class: "card", "aria-labelledby": "documents-title" },
    h("div", { class: "row spread" }, h("h2", { id: "documents-title" }, "Documents"),
      h("div", { class: "row" }, h("label", { for: "document-status", class: "hint" }, "Status"), status)), place);
}

/** Returns the view. */
export async function jobView({ parts: [id], signal, title }) {
  title(`Job ${id.slice(0, 12)}`);
  const path = `v1/jobs/${encodeURIComponent(id)}`;
  const place = h("section", { class: "card", "aria-label": "Progress" }, loading());
  const list = h("div");
  const said = h("p", { class: "hidden", role: "status" });
  let listed = false;

  const act = (action) => async () => {
    try {
      draw(await api.post(`${path}/${action}`, undefined, { signal }));
      if (action === "retry") watch();
    } catch (error) {
      if (!api.aborted(error)) toast(error.message);
    }
  };

  function draw(job) {
    const over = ended(job);
    const facts = {
      Collection: h("a", { href: toCollection(job.collection) }, job.collection), Created: time(job.created_at), Started: time(job.started_at),
      Finished: time(job.finished_at), Notes: counts(job) || "–", Documents: count(job.total_documents),
    };
    fill(place,
      h("div", { class: "row spread" }, h("p", {}, tag(job.status)), h("div", { class: "row" },
        !over && h("button", { type: "button", onclick: act("cancel") }, "Cancel"),
        over && job.failed_documents > 0 && h("button", { type: "button", onclick: act("retry") }, "Embed the failed documents again"))),
      progress(job), job.error && h("p", { class: "warning", dir: "auto" }, job.error),
      h("dl", { class: "facts" }, Object.entries(facts).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      failures(job));
    if (said.textContent !== job.status) said.textContent = job.status;
    if (over || !listed) fill(list, documents(job, signal));
    listed = true;
  }

  async function watch() {
    try {
      await follow(id, draw, signal);
    } catch (error) {
      if (!signal.aborted) fill(place, failure(error, watch, signal));
    }
  }
  watch();
  return [h("p", {}, h("a", { href: "#/jobs" }, "Jobs")), h("h1", { class: "mono" }, id), said, place, list];
}
