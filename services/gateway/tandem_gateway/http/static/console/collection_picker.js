// Chooses a collection, and knows the fields of its metadata.

import * as api from "./api.js";
import { h, select } from "./dom.js";
import { count, flat } from "./format.js";
import * as session from "./session.js";

/** Returns {picker, chosen, collections}: a select, and a function that returns the chosen name.
 *
 * wanted: name from the address, or null for the last one. changed: is called with the name that the user chooses.
 */
export async function collectionPicker(wanted, signal, changed = () => {}) {
  const { collections } = await api.get("v1/collections", { signal });
  const names = collections.map(({ name }) => name);
  const last = session.collection();
  const full = collections.find((each) => each.document_count > 0) ?? collections[0];
  const first = wanted ?? (names.includes(last) ? last : full?.name ?? "default");
  const options = collections.map(({ name, document_count: documents }) => [name, `${name} (${count(documents)})`]);
  if (names.length && !names.includes(first)) options.unshift([first, first]);
  const picker = select(options, first, { onchange: () => { session.keepCollection(picker.value); changed(picker.value); } });
  session.keepCollection(first);
  return { picker, chosen: () => picker.value || first, collections };
}

/** Returns a datalist with the names of the collections. */
export const namesList = (id, collections) => h("datalist", { id }, collections.map(({ name }) => h("option", { value: name })));

/** Returns the names of the metadata fields of the first documents of a collection. */
export async function fieldsOf(collection, signal) {
  const { documents } = await api.get(api.at(collection, "documents"), { query: { limit: 50 }, signal });
  const names = new Set(documents.flatMap(({ metadata }) => flat(metadata).map(([name]) => name)));
  return [...names].filter((name) => !name.startsWith("$")).sort().slice(0, 100);
}
