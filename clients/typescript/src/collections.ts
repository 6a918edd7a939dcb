/** Collections, their documents and their sources. */

import { jsonOf, pathOf, queryOf } from "./encode.js";
import { Paged } from "./pages.js";
import type { Call, Transport } from "./transport.js";
import type {
  CallOptions, Collection, CollectionSettings, DeletedDocuments, DocumentDeletion, DocumentPatch, FacetsReply,
  FacetsRequest, Filter, FoundDocuments, SourceList, SourceReply, StoredDocument,
} from "./types.js";

const JSON_TYPE = "application/json";

function collectionPath(collection: string): string {
  return pathOf("/v1/collections/{collection}", { collection });
}

/** A call with a body, whose name is for messages. */
function withBody(
  options: CallOptions,
  method: Call["method"],
  path: string,
  [name, body]: readonly [string, unknown],
  has: string,
): Call {
  return { ...options, method, path, body: jsonOf(body, name), contentType: JSON_TYPE, repeatable: true, has };
}

export class Collections {
  constructor(private readonly transport: Transport) {}

  async list(options: CallOptions = {}): Promise<Collection[]> {
    const call: Call = { ...options, method: "GET", path: "/v1/collections", repeatable: true, has: "collections" };
    return (await this.transport.send<{ collections: Collection[] }>(call)).collections;
  }

  async get(collection: string, options: CallOptions = {}): Promise<Collection> {
    const path = collectionPath(collection);
    return this.transport.send({ ...options, method: "GET", path, repeatable: true, has: "name" });
  }

  /** Creates a collection, or changes its settings. */
  async put(collection: string, settings: CollectionSettings = {}, options: CallOptions = {}): Promise<Collection> {
    return this.transport.send(withBody(options, "PUT", collectionPath(collection), ["settings", settings], "name"));
  }

  /** Deletes a collection with all its documents; returns false if there was none. */
  async delete(collection: string, options: CallOptions = {}): Promise<boolean> {
    const path = collectionPath(collection);
    const call: Call = { ...options, method: "DELETE", path, repeatable: true, has: "deleted" };
    return (await this.transport.send<{ deleted: boolean }>(call)).deleted;
  }

  /** Counts documents by the values of fields. */
  async facets(collection: string, request: FacetsRequest, options: CallOptions = {}): Promise<FacetsReply> {
    return this.transport.send(withBody(options, "POST", `${collectionPath(collection)}/facets`, ["request", request], "facets"));
  }

  /** Compares a source with its documents, deletes those that are not in the list, and returns what to ingest. */
  async putSource(collection: string, source: string, list: SourceList, options: CallOptions = {}): Promise<SourceReply> {
    const path = collectionPath(collection) + pathOf("/sources/{source}", { source });
    return this.transport.send(withBody(options, "PUT", path, ["list", list], "missing"));
  }
}

export class Documents {
  constructor(private readonly transport: Transport) {}

  /** Returns the newest version of a document. */
  async get(collection: string, id: string, options: CallOptions = {}): Promise<StoredDocument> {
    const path = documentPath(collection, id);
    return this.transport.send({ ...options, method: "GET", path, repeatable: true, has: "id" });
  }

  /** Returns up to 1,000 documents in the order of the ids, and the ids that no document has. */
  async getMany(collection: string, ids: readonly string[], options: CallOptions = {}): Promise<FoundDocuments> {
    const path = `${collectionPath(collection)}/documents/get`;
    return this.transport.send(withBody(options, "POST", path, ["ids", { ids }], "documents"));
  }

  /** Documents in the order of their ids. */
  list(
    collection: string,
    { filter, limit, ...options }: CallOptions & { filter?: Filter; limit?: number } = {},
  ): Paged<StoredDocument> {
    return new Paged(async (cursor) => {
      const path = `${collectionPath(collection)}/documents`;
      const text = filter === undefined ? undefined : jsonOf(filter, "filter");
      const reply = await this.transport.send<{ documents: StoredDocument[]; next_cursor?: string | null }>({
        ...options, method: "GET", path: path + queryOf({ filter: text, limit, cursor }), repeatable: true,
        has: "documents",
      });
      return { items: reply.documents, cursor: reply.next_cursor ?? undefined };
    });
  }

  /** Merges values into the metadata of a document (RFC 7396): null removes a key. */
  async patch(collection: string, id: string, patch: DocumentPatch, options: CallOptions = {}): Promise<StoredDocument> {
    const path = collectionPath(collection) + pathOf("/documents/{document_id}", { document_id: id });
    return this.transport.send(withBody(options, "PATCH", path, ["patch", patch], "id"));
  }

  /** Deletes a document; returns false if there was none. */
  async delete(collection: string, id: string, options: CallOptions = {}): Promise<boolean> {
    const path = documentPath(collection, id);
    const call: Call = { ...options, method: "DELETE", path, repeatable: true, has: "deleted" };
    return (await this.transport.send<{ deleted: boolean }>(call)).deleted;
  }

  /** Deletes documents by their ids or by a filter. */
  async deleteMany(collection: string, which: DocumentDeletion, options: CallOptions = {}): Promise<DeletedDocuments> {
    const path = `${collectionPath(collection)}/documents/delete`;
    return this.transport.send(withBody(options, "POST", path, ["which", which], "deleted_documents"));
  }
}

function documentPath(collection: string, id: string): string {
  // Without an id it would be a list of documents.
  if (typeof id !== "string" || id === "") throw new TypeError("id: a text that is not empty was expected");
  return `${collectionPath(collection)}/documents${queryOf({ id })}`;
}
