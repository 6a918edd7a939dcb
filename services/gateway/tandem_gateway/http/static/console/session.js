// What the page remembers: the key for this session of the tab, the collection, and the colours.

const KEY = "tandem.key";
const COLLECTION = "tandem.collection";
const COLOURS = "tandem.colours";

/** Returns the API key, or an empty text. */
export const key = () => sessionStorage.getItem(KEY) ?? "";

/** Keeps the API key until the tab is closed; an empty text forgets it. */
export function keepKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** Returns the collection that was used last. */
export const keepCollection = (name) => sessionStorage.setItem(COLLECTION, name);

/** Returns the name of the collection that was used last, or null. */
export const collection = () => sessionStorage.getItem(COLLECTION);

/** Returns "light", "dark", or "auto" for the colours of the system. */
export const colours = () => localStorage.getItem(COLOURS) ?? "auto";

/** Sets the colours of the page, and keeps the choice for later visits. */
export function useColours(choice) {
  if (choice === "auto") localStorage.removeItem(COLOURS);
  else localStorage.setItem(COLOURS, choice);
  document.documentElement.dataset.colours = choice;
}
