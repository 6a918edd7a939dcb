/** Lists that the gateway gives in pages. */

export interface Page<T> {
  items: T[];
  /** Of the next page; undefined on the last one. */
  cursor: string | undefined;
}

/**
 * A list: `for await (const item of list)` reads page after page, and keeps one of them.
 *
 * A page may have no items although more pages follow.
 */
export class Paged<T> implements AsyncIterable<T> {
  constructor(private readonly fetchPage: (cursor: string | undefined) => Promise<Page<T>>) {}

  /** Returns one page, by the cursor of the page before. */
  page(cursor?: string): Promise<Page<T>> {
    return this.fetchPage(cursor);
  }

  /** Yields page after page. */
  async *pages(): AsyncGenerator<T[], void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.fetchPage(cursor);
      yield page.items;
      cursor = page.cursor;
    } while (cursor !== undefined);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const items of this.pages()) yield* items;
  }

  /** Returns all items; throws a RangeError if there are more than `most`. */
  async all(most = 100_000): Promise<T[]> {
    const found: T[] = [];
    for await (const items of this.pages()) {
      if (found.length + items.length > most) throw new RangeError(`the list has more than ${most} items`);
      found.push(...items);
    }
    return found;
  }
}
