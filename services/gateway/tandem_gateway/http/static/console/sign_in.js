// Asks for an API key, and keeps it once the gateway accepts it.

import * as api from "./api.js";
import { field, fill, h } from "./dom.js";
import * as session from "./session.js";
import { failure, toast } from "./states.js";

const HINT = "It stays in this tab until you close it or sign out. A JSON Web Token works too, if the gateway accepts these.";

/** Returns the view. */
export async function signIn({ signal }) {
  const place = h("div", { id: "sign-in-answer" });
  const input = h("input", {
    type: "password", name: "key", autocomplete: "off", required: true, spellcheck: "false", autofocus: true,
  });
  const form = h("form", { class: "card narrow", onsubmit: enter },
    h("h1", {}, "Sign in"), field("API key", input, HINT), place,
    h("p", { class: "row" }, h("button", { class: "primary" }, "Sign in")));

  async function enter(event) {
    event.preventDefault();
    const key = input.value.trim();
    if (!key) return;
    if (!/^[\x21-\x7e]+$/.test(key)) {
      return fill(place, failure(new api.ApiError(401, "an API key has visible ASCII characters only")));
    }
    try {
      await api.get("v1/collections", { key, signal });
    } catch (error) {
      // A key that is valid, and may only not list the collections, is a key.
      if (error.status !== 403) {
        input.setAttribute("aria-invalid", "true");
        input.select();
        return signal.aborted || fill(place, wrong(error));
      }
    }
    session.keepKey(key);
    toast("You are signed in.");
    location.hash = "#/search";
  }
  return form;
}

const wrong = (error) => (error.status === 401
  ? h("p", { class: "problem", role: "alert" }, "The gateway does not know this key: it is wrong, revoked or expired.")
  : failure(error));
