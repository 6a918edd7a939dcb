// What a view shows instead of data: that it loads, that there is nothing, or what went wrong and what helps.

import { ApiError } from "./api.js";
import { h, pause } from "./dom.js";

/** Returns a note that something loads. */
export const loading = (text = "Loading…") =>
  h("p", { class: "state loading", role: "status" }, h("span", { class: "spinner", "aria-hidden": "true" }), text);

/** Returns a note that there is nothing, and what to do about it. */
export const empty = (title, ...more) => h("div", { class: "state empty" }, h("p", { class: "state-title" }, title), more);

const TITLES = {
  0: "The gateway does not answer",
  401: "This needs an API key",
  403: "This key does not allow it",
  404: "There is no such thing",
  429: "Too many requests",
  503: "Not possible at the moment",
  504: "It took too long",
};

/** Returns a note about an error; `retry` is what a button and a Retry-After run again. */
export function failure(error, retry = null, signal = null) {
  if (!(error instanceof ApiError)) console.error(error);
  const status = error instanceof ApiError ? error.status : -1;
  const title = TITLES[status] ?? (status >= 500 ? "The gateway failed" : status > 0 ? "The request is not valid" : "The page failed");
  const note = h("p", { class: "hint" });
  const again = retry && h("button", { type: "button", onclick: retry }, "Try again");
  if (retry && error.retryAfter) wait(error.retryAfter, note, retry, signal);
  return h("div", { class: "state failure", role: "alert" },
    h("p", { class: "state-title" }, title),
    h("p", { dir: "auto" }, error.message),
    note,
    h("p", { class: "row" },
      status === 401 && h("a", { class: "button primary", href: "#/sign-in" }, "Sign in"), again));
}

async function wait(whole, note, retry, signal) {
  for (let left = whole; left > 0; left -= 1) {
    note.textContent = `Tries again in ${left} s.`;
    if (!(await pause(1000, signal))) return;
    if (!note.isConnected) return;
  }
  retry();
}

/** Runs a task that returns nodes; shows in `place` that it loads, then the nodes or what went wrong. */
export async function show(place, task, { signal, text } = {}) {
  const run = async () => {
    place.replaceChildren(loading(text));
    place.setAttribute("aria-busy", "true");
    try {
      const made = await task();
      if (!signal?.aborted) place.replaceChildren(...[made].flat().filter(Boolean));
    } catch (error) {
      if (!signal?.aborted) place.replaceChildren(failure(error, run, signal));
    } finally {
      place.removeAttribute("aria-busy");
    }
  };
  await run();
}

/** Says a short text in the corner of the page, and to screen readers. */
export function toast(text) {
  const place = document.getElementById("toast");
  place.textContent = text;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => place.replaceChildren(), 6000);
}

/** Asks in a dialog whether to go on. Returns whether the answer is yes. */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
      h("h2", { id: "confirm-title" }, title),
      h("p", { dir: "auto" }, text),
      h("p", { class: "row end" },
        h("button", { type: "button", onclick: () => dialog.close("no") }, "Cancel"),
        h("button", { type: "button", class: "danger", onclick: () => dialog.close("yes") }, action)));
    dialog.addEventListener("close", () => { resolve(dialog.returnValue === "yes"); dialog.remove(); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
