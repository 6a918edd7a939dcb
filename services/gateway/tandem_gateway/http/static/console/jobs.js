// The list of jobs, which reads itself again while one of them runs.

import * as api from "./api.js";
import { h, pause, select } from "./dom.js";
import { time } from "./format.js";
import { counts, ended, progress, tag } from "./job_parts.js";
import { toCollection, toIngest, toJob } from "./links.js";
import { empty, failure, loading } from "./states.js";

const LOOK_MS = 2000;
const STATUSES = [["", "all"], "pending", "running", "completed", "failed", "cancelled"];

function row(job) {
  return h("tr", {},
    h("th", { scope: "row" }, h("a", { href: toJob(job.job_id), class: "mono" }, job.job_id.slice(0, 12)), h("br"), h("small", {}, time(job.created_at))),
    h("td", {}, h("a", { href: toCollection(job.collection) }, job.collection)),
    h("td", {}, tag(job.status)),
    h("td", { class: "progress" }, progress(job)),
    h("td", {}, counts(job) || "–"));
}

const table = (jobs) => h("div", { class: "scroll card", tabindex: 0, role: "region", "aria-label": "Jobs" }, h("table", {},
  h("thead", {}, h("tr", {}, ["Job", "Collection", "Status", "Progress", "Notes"].map((name) => h("th", { scope: "col" }, name)))),
  h("tbody", {}, jobs.map(row))));

/** Returns the view. */
export async function jobsView({ query, signal }) {
  const place = h("div", {}, loading());
  let looking = new AbortController();
  const status = select(STATUSES, query.get("status") ?? "", { id: "status", onchange: look });

  async function look() {
    looking.abort();
    looking = new AbortController();
    const stop = AbortSignal.any([signal, looking.signal]);
    while (!stop.aborted) {
      try {
        const { jobs, next_cursor: more } = await api.get("v1/jobs", { query: { limit: 50, status: status.value }, signal: stop });
        if (stop.aborted) return;
        const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        place.replaceChildren(jobs.length ? table(jobs) : empty("No jobs", h("p", {}, "An ingest makes a job."),
          h("a", { class: "button primary", href: toIngest() }, "Ingest documents")), ...(more ? [h("p", { class: "hint" }, "the newest 50")] : []));
        if (focused) [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
        if (jobs.every(ended)) return;
      } catch (error) {
        if (!stop.aborted) place.replaceChildren(failure(error, look, signal));
        return;
      }
      await pause(LOOK_MS, stop);
    }
  }
  look();
  return [
    h("div", { class: "row spread" }, h("h1", {}, "Jobs"),
      h("div", { class: "row" }, h("label", { for: "status", class: "hint" }, "Status"), status,
        h("button", { type: "button", onclick: look }, "Read again"))),
    place,
  ];
}
