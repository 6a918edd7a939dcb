// Starts the page: its header, and the view that the address names after the #.

import * as api from "./api.js";
import { fill, h } from "./dom.js";
import * as session from "./session.js";
import { signIn } from "./sign_in.js";
import { failure } from "./states.js";
import { collectionView } from "./collection.js";
import { collectionsView } from "./collections.js";
import { documentView } from "./document.js";
import { ingestView } from "./ingest.js";
import { jobView } from "./job.js";
import { jobsView } from "./jobs.js";
import { keysView } from "./keys.js";
import { mapView } from "./map.js";
import { searchView } from "./search.js";
import { statusView } from "./status.js";

// Path after the # → title and view. A view gets {parts, query, signal, title} and returns nodes.
const VIEWS = {
  search: ["Search", searchView],
  collections: ["Collections", ({ parts, ...rest }) => (parts.length ? collectionView : collectionsView)({ parts, ...rest })],
  documents: ["Document", documentView],
  ingest: ["Ingest", ingestView],
  jobs: ["Jobs", ({ parts, ...rest }) => (parts.length ? jobView : jobsView)({ parts, ...rest })],
  map: ["Map", mapView],
  status: ["Status", statusView],
  keys: ["Keys", keysView],
  "sign-in": ["Sign in", signIn],
};
const IN_NAV = ["search", "collections", "ingest", "jobs", "map", "status", "keys"];
const PARENTS = { documents: "collections" };
const COLOURS = { auto: "System", light: "Light", dark: "Dark" };

const main = document.getElementById("main");
let leave = new AbortController();

function parsed() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?", 2);
  const [name, ...parts] = path.split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name: name in VIEWS ? name : "search", parts, query: new URLSearchParams(query ?? "") };
}

async function navigate({ focus = true } = {}) {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  const { name, parts, query } = parsed();
  const [title, view] = VIEWS[name];
  header(name);
  const titled = (text) => { document.title = `${text} · Tandem`; };
  titled(title);
  main.dataset.view = name;
  try {
    const nodes = await view({ parts, query, signal, title: titled });
    if (signal.aborted) return;
    fill(main, nodes);
  } catch (error) {
    if (signal.aborted) return;
    fill(main, failure(error, navigate, signal));
  }
  const first = main.querySelector("[autofocus]");
  if (first) first.focus();
  else if (focus) main.focus();
  scrollTo(0, 0);
}

function header(current) {
  const shown = PARENTS[current] ?? current;
  fill(document.getElementById("nav"), IN_NAV.map((name) =>
    h("a", { href: `#/${name}`, "aria-current": name === shown ? "page" : null }, VIEWS[name][0])));
  const choice = h("select", { "aria-label": "Colours", onchange: () => session.useColours(choice.value) },
    Object.entries(COLOURS).map(([value, text]) => h("option", { value }, text)));
  choice.value = session.colours();
  const leaveSession = () => { session.keepKey(""); location.hash = "#/sign-in"; };
  fill(document.getElementById("tools"), choice, session.key()
    ? h("button", { type: "button", onclick: leaveSession }, "Sign out")
    : h("a", { class: "button", href: "#/sign-in", "aria-current": current === "sign-in" ? "page" : null }, "Sign in"));
}

async function about() {
  const { version, model } = await api.health();
  document.getElementById("about").textContent = `Tandem ${version}${model ? ` · ${model}` : ""}`;
}

session.useColours(session.colours());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address after the # names the view
  main.focus();
});
addEventListener("hashchange", () => navigate());
navigate({ focus: false });
about().catch(() => {});
