// Stores documents: files that are dropped or chosen, or a text that is typed.

import * as api from "./api.js";
import { field, fill, h, select } from "./dom.js";
import { bytes, several } from "./format.js";
import { collectionPicker, namesList } from "./collection_picker.js";
import { follow } from "./job.js";
import { counts, failures, progress, tag } from "./job_parts.js";
import { toJob, toSearch } from "./links.js";
import * as session from "./session.js";
import { failure, loading } from "./states.js";

const FORMATS = ".txt,.md,.html,.htm,.docx,.pdf,.csv,.jsonl";

/** Returns the parsed metadata of a field; throws an ApiError that names what is wrong. */
function metadataOf(text) {
  if (!text.trim()) return null;
  try {
    const value = JSON.parse(text);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return value;
  } catch {
    // said below
  }
  throw new api.ApiError(422, "metadata: a JSON object was expected, such as {\"team\": \"x\"}");
}

function filesTable(files) {
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Files" }, h("table", {},
    h("thead", {}, h("tr", {}, ["File", "Documents", "Result"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, files.map((each) => h("tr", {},
      h("th", { scope: "row", dir: "auto" }, each.name), h("td", {}, each.documents),
      h("td", {}, each.error === null ? h("span", { class: "tag good" }, "read") : [h("span", { class: "tag bad" }, "failed"), " ", h("span", { dir: "auto" }, each.error)]))))));
}

/** Shows an ingest in a card of its own: the request, then the job until its end. */
async function run(place, name, send, signal) {
  const state = h("div", { class: "stack" }, loading("Sending…"));
  const status = h("p", { class: "hidden", role: "status" });
  place.prepend(h("section", { class: "card ingest", "aria-label": name }, h("h2", { dir: "auto" }, name), status, state));
  try {
    const reply = await send();
    session.keepCollection(reply.collection);
    await follow(reply.job_id, (job) => {
      fill(state,
        h("div", { class: "row spread" }, h("p", { class: "row" }, tag(job.status), counts(job)), h("p", { class: "row" },
          h("a", { class: "button", href: toJob(job.job_id) }, "Job"),
          h("a", { class: "button", href: toSearch({ collection: job.collection }) }, "Search"))),
        progress(job), job.error && h("p", { class: "warning", dir: "auto" }, job.error), failures(job), reply.files && filesTable(reply.files));
      if (status.textContent !== job.status) status.textContent = job.status;
    }, signal);
  } catch (error) {
    if (!signal.aborted) fill(state, failure(error));
  }
}

/** Returns the view. */
export async function ingestView({ query, signal }) {
  const { chosen, collections } = await collectionPicker(query.get("collection"), signal);
  const collection = h("input", { type: "text", list: "collection-names", value: chosen() || "default", required: true, maxlength: 64, autocomplete: "off" });
  const metadata = h("input", { type: "text", placeholder: "{\"team\": \"x\"}", autocomplete: "off", spellcheck: "false" });
  const progressPlace = h("div", { class: "stack", id: "ingests" });
  const problem = h("div");

  /** Runs `send` with the common fields, unless one of them is wrong. */
  function start(name, send) {
    fill(problem);
    let more;
    try {
      more = metadataOf(metadata.value);
    } catch (error) {
      fill(problem, failure(error));
      return false;
    }
    run(progressPlace, name, () => send(collection.value.trim(), more), signal);
    return true;
  }

  function sendFiles(files) {
    if (!files.length) return;
    const size = files.reduce((sum, file) => sum + file.size, 0);
    const names = files.length === 1 ? files[0].name : several(files.length, "file");
    start(`${names} (${bytes(size)})`, (into, more) => {
      const form = new FormData();
      form.append("collection", into);
      if (more) form.append("metadata", JSON.stringify(more));
      for (const file of files) form.append("files", file, file.name);
      return api.send("v1/ingest/files", form, { signal });
    });
  }

  const input = h("input", { type: "file", multiple: true, accept: FORMATS, onchange: () => { sendFiles([...input.files]); input.value = ""; } });
  const drop = h("div", { class: "drop" }, h("p", { class: "state-title" }, "Drop files here"),
    h("p", { class: "hint" }, "Text, Markdown, HTML, Word, PDF, CSV or JSON lines"), field("or choose them", input));
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    sendFiles([...event.dataTransfer.files]);
  });

  const text = h("textarea", { dir: "auto", required: true });
  const id = h("input", { type: "text", maxlength: 256, autocomplete: "off", dir: "auto" });
  const format = select([["text", "plain text"], ["markdown", "Markdown"]], "text");
  const typed = h("form", { class: "card", onsubmit: sendText }, h("h2", {}, "Or type a text"),
    field("Text", text), h("div", { class: "fields" }, field("Id", id, "A document with this id is replaced. The gateway makes one if it is empty."), field("Format", format)),
    h("p", { class: "row" }, h("button", { class: "primary" }, "Store the text")));

  function sendText(event) {
    event.preventDefault();
    const written = { text: text.value, format: format.value, ...(id.value ? { id: id.value } : {}) };
    const begun = start(id.value || "Text", (into, more) =>
      api.post("v1/ingest", { collection: into, documents: [{ ...written, ...(more ? { metadata: more } : {}) }] }, { signal }));
    if (begun) text.value = id.value = "";
  }

  return [
    h("h1", {}, "Ingest"),
    h("div", { class: "card" }, h("div", { class: "fields" },
      field("Collection", collection, "A new name creates a collection."), field("Metadata of all documents", metadata, "Optional: a JSON object.")),
    namesList("collection-names", collections), problem),
    h("div", { class: "grid" }, h("section", { class: "card", "aria-labelledby": "files-title" }, h("h2", { id: "files-title" }, "Files"), drop), typed),
    progressPlace,
  ];
}
