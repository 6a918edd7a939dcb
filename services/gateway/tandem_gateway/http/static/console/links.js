// Addresses of the page's views.

const part = encodeURIComponent;

function asked(path, query) {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return `#/${path}${given.size ? `?${given}` : ""}`;
}

export const toSearch = (query) => asked("search", query);
export const toCollection = (name) => `#/collections/${part(name)}`;
export const toDocument = (collection, id, passage) =>
  asked(`documents/${part(collection)}/${part(id)}`, passage ? { start: passage.start, end: passage.end } : {});
export const toJob = (id) => `#/jobs/${part(id)}`;
export const toIngest = (collection) => asked("ingest", { collection });
