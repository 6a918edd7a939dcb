// API keys: the list, a form that makes one, and their revocation. The text of a key is shown once.

import * as api from "./api.js";
import { field, h, select } from "./dom.js";
import { time } from "./format.js";
import { confirmed, empty, failure, show, toast } from "./states.js";

const KEYS = "v1/admin/keys";
const ROLES = [["search", "search: read and search"], ["ingest", "ingest: also write"], ["admin", "admin: everything"]];
const DAY = 86_400;
const LIVES = [["", "never"], [String(DAY), "in a day"], [String(30 * DAY), "in 30 days"], [String(365 * DAY), "in a year"]];

function state(key) {
  if (key.revoked_at) return h("span", { class: "tag bad" }, "revoked");
  if (key.expires_at && new Date(key.expires_at) < new Date()) return h("span", { class: "tag warn" }, "expired");
  return h("span", { class: "tag good" }, "valid");
}

/** Shows the text of a new key in a dialog, which forgets it when it closes. */
function secret(made) {
  const text = h("input", { type: "text", readonly: true, value: made.key, class: "mono", id: "new-key" });
  const dialog = h("dialog", { "aria-labelledby": "secret-title" },
    h("h2", { id: "secret-title" }, `The key ${made.name}`),
    h("p", {}, "Copy it now. The gateway does not keep this text, and nobody can see it again."),
    h("div", { class: "field" }, h("label", { for: "new-key" }, "Key"), text),
    h("p", { class: "row end" },
      h("button", { type: "button", onclick: copy }, "Copy"),
      h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "I have it")));
  async function copy() {
    try {
      await navigator.clipboard.writeText(made.key);
      toast("Copied.");
    } catch {
      text.select(); // a page without https has no clipboard
      toast("Press Ctrl and C to copy.");
    }
  }
  dialog.addEventListener("close", () => { text.value = ""; dialog.remove(); });
  document.body.append(dialog);
  dialog.showModal();
  text.select();
}

function creation(again, signal) {
  const name = h("input", { type: "text", required: true, autocomplete: "off", dir: "auto" });
  const role = select(ROLES, "search");
  const collections = h("input", { type: "text", value: "*", required: true, autocomplete: "off" });
  const life = select(LIVES, "");
  const answer = h("div");
  async function create(event) {
    event.preventDefault();
    try {
      const body = { name: name.value.trim(), role: role.value, collections: collections.value.split(/[\s,]+/).filter(Boolean) };
      if (life.value) body.expires_in_seconds = Number(life.value);
      const made = await api.post(KEYS, body, { signal });
      answer.replaceChildren();
      name.value = "";
      again();
      secret(made);
    } catch (error) {
      if (!api.aborted(error)) answer.replaceChildren(failure(error));
    }
  }
  return h("details", { class: "card", open: true }, h("summary", {}, "New key"),
    h("form", { class: "stack", onsubmit: create },
      h("div", { class: "fields" }, field("Name", name), field("Role", role),
        field("Collections", collections, "Names, separated by spaces; * is any run of characters."), field("Expires", life)),
      answer, h("p", { class: "row" }, h("button", { class: "primary" }, "Make the key"))));
}

function table(keys, revoke) {
  const row = (key) => h("tr", {},
    h("th", { scope: "row", dir: "auto" }, key.name, h("br"), h("small", { class: "mono" }, key.id)),
    h("td", {}, key.role), h("td", { class: "mono" }, key.collections.join(" "), key.filter && [h("br"), h("small", {}, JSON.stringify(key.filter))]),
    h("td", {}, state(key)),
    [key.created_at, key.expires_at, key.last_used_at].map((at) => h("td", { class: "when" }, time(at))),
    h("td", {}, !key.revoked_at && h("button", { type: "button", "aria-label": `Revoke ${key.name}`, onclick: () => revoke(key) }, "Revoke…")));
  return h("div", { class: "scroll card", tabindex: 0, role: "region", "aria-label": "API keys" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Key", "Role", "Collections", "State", "Made", "Expires", "Last used"].map((name) => h("th", { scope: "col" }, name)), h("td", {}))),
    h("tbody", {}, keys.map(row))));
}

/** Returns the view. */
export async function keysView({ signal }) {
  const place = h("div", { id: "keys" });
  const form = h("div");

  async function revoke(key) {
    if (!(await confirmed("Revoke this key?", `${key.name} can do nothing any more, for ever.`, "Revoke the key"))) return;
    try {
      await api.remove(`${KEYS}/${encodeURIComponent(key.id)}`, { signal });
      toast(`The key ${key.name} is revoked.`);
    } catch (error) {
      if (!api.aborted(error)) toast(`Not revoked: ${error.message}`);
    }
    read();
  }

  const read = () => show(place, async () => {
    let keys;
    try {
      ({ keys } = await api.get(KEYS, { signal }));
    } catch (error) {
      if (error.status !== 404) throw error;
      return empty("This gateway has no API keys", h("p", {}, "Everybody who reaches it may use it. The first key is made on its machine:"),
        h("code", {}, "python -m tandem_gateway keys create --name admin --role admin"));
    }
    if (!form.firstChild) form.append(creation(read, signal));
    return keys.length ? table(keys, revoke) : empty("No keys");
  }, { signal });
  read();
  return [h("h1", {}, "Keys"), place, form];
}
