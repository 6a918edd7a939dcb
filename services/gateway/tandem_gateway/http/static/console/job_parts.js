// What the list of jobs, a job and an ingest show of a job.

import { h } from "./dom.js";
import { count, seconds, several } from "./format.js";

const KINDS = { pending: "", running: "live", completed: "good", failed: "bad", cancelled: "warn" };

/** Returns the status of a job as a tag. */
export const tag = (status) => h("span", { class: `tag ${KINDS[status] ?? ""}` }, status);

/** Returns whether a job has ended. */
export const ended = (job) => job.finished_at !== null;

/** Returns the progress of a job as a bar with a text. */
export function progress(job) {
  const { total_documents: total, processed_documents: done } = job;
  const speed = job.documents_per_second === null ? "" : `, ${count(Math.round(job.documents_per_second * 10) / 10)} a second`;
  const left = job.seconds_left === null ? "" : `, about ${seconds(job.seconds_left)} left`;
  const name = `Progress of job ${job.job_id}`;
  return h("div", { class: "stack-small" },
    h("progress", { max: Math.max(total, 1), value: total ? done : 1, "aria-label": name }),
    h("p", { class: "hint" }, `${count(done)} of ${several(total, "document")}${speed}${left}`));
}

const COUNTS = [
  ["unchanged_documents", "unchanged"], ["failed_documents", "failed"], ["skipped_documents", "skipped"], ["cancelled_documents", "cancelled"],
  ["truncated_documents", "truncated"], ["unreadable_documents", "unreadable"],
];

/** Returns the counts of a job that are not 0, as a text; empty if there are none. */
export const counts = (job) => COUNTS.filter(([name]) => job[name] > 0).map(([name, text]) => `${count(job[name])} ${text}`).join(", ");

/** Returns the documents of a job that failed, with the reasons. */
export function failures(job) {
  if (!job.failures?.length) return null;
  return h("div", { class: "stack-small" }, h("h3", {}, "Documents that failed"),
    h("ul", { class: "reasons" }, job.failures.map((each) => h("li", {}, h("b", { dir: "auto" }, each.id), ": ", h("span", { dir: "auto" }, each.error)))),
    job.failed_documents > job.failures.length && h("p", { class: "hint" }, `the first ${job.failures.length} of ${count(job.failed_documents)}`));
}
