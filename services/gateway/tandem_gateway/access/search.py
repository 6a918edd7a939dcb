"""The searches of a caller: they need the role ``search`` and the collection, and find the caller's documents."""

from collections.abc import Callable, Sequence

import msgspec

from tandem_gateway.access.accounts import metered_caller
from tandem_gateway.access.document_filter import DocumentFilter
from tandem_gateway.access.principal import Principal, check_role, check_use
from tandem_gateway.errors import Conflict, NotFound
from tandem_gateway.filters.tree import Filter
from tandem_gateway.index.state import no_document, waiting_document
from tandem_gateway.use_cases.batch_search import BatchSearch
from tandem_gateway.use_cases.commands import SearchCommand, SimilarCommand
from tandem_gateway.use_cases.documents import Documents
from tandem_gateway.use_cases.facets import Facet, Facets
from tandem_gateway.use_cases.reranking import Rerank, RerankAnswer, RerankCommand
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_pipeline import SearchPipeline
from tandem_gateway.use_cases.similar_search import SimilarSearch
from tandem_gateway.use_cases.validation import check_collection, check_document_id


def narrowed(command: SearchCommand, of_key: DocumentFilter | None) -> SearchCommand:
    """Return a search that finds the documents of a caller only."""
    if of_key is None:
        return command
    return msgspec.structs.replace(command, filter=of_key.narrowed(command.filter))


def uses_tokens(command: SearchCommand) -> bool:
    """Return whether a model reads the query, or the passages that it reranks."""
    return command.mode != "lexical" or command.rerank is not None


def shown(answer: Answer, of_key: DocumentFilter | None) -> Answer:
    """Return an answer with the ids as the caller sees them. The list of hits stays: it has their leases."""
    if of_key is not None:
        for place, hit in enumerate(answer.hits):
            doc_id = of_key.shown(hit.doc_id)
            if doc_id != hit.doc_id:
                answer.hits[place] = msgspec.structs.replace(hit, doc_id=doc_id)
    return answer


class GuardedSearchPipeline:
    """``SearchPipeline`` for one caller."""

    __slots__ = ("_principal", "_search")

    def __init__(self, search: SearchPipeline, principal: Principal) -> None:
        self._search = search
        self._principal = principal

    async def answer(self, command: SearchCommand, timeout: float | None = None) -> Answer:
        """Answer a search; see ``SearchPipeline.answer``.

        Raises:
            Forbidden: the caller may not search this collection.
            RateLimited: the caller has no tokens left.
        """
        check_use(self._principal, "search", command.collection)
        if uses_tokens(command) and (account := metered_caller()) is not None:
            account.check_tokens()
        of_key = self._principal.filter
        return shown(await self._search.answer(narrowed(command, of_key), timeout), of_key)


class GuardedBatchSearch:
    """``BatchSearch`` for one caller."""

    __slots__ = ("_principal", "_search")

    def __init__(self, search: BatchSearch, principal: Principal) -> None:
        self._search = search
        self._principal = principal

    async def answer(self, commands: Sequence[SearchCommand], timeout: float | None = None) -> list[Answer]:
        """Answer several searches; see ``BatchSearch.answer``.

        Raises:
            Forbidden: the caller may not search one of the collections. No search is answered.
            RateLimited: the caller has no tokens left.
        """
        for command in commands:
            check_use(self._principal, "search", command.collection)
        account = metered_caller()
        if account is not None and any(map(uses_tokens, commands)):
            account.check_tokens()
        of_key = self._principal.filter
        answers = await self._search.answer([narrowed(command, of_key) for command in commands], timeout)
        return [shown(answer, of_key) for answer in answers]


class GuardedSimilarSearch:
    """``SimilarSearch`` for one caller."""

    __slots__ = ("_documents", "_principal", "_search")

    def __init__(self, search: SimilarSearch, documents: Documents, principal: Principal) -> None:
        self._search = search
        self._documents = documents
        self._principal = principal

    async def answer(self, command: SimilarCommand, timeout: float | None = None) -> Answer:
        """Answer a search for similar documents; see ``SimilarSearch.answer``.

        Raises:
            Forbidden: the caller may not search this collection.
        """
        check_use(self._principal, "search", command.page.collection)
        of_key = self._principal.filter
        if of_key is None:
            return await self._search.answer(command, timeout)
        page, doc_id = narrowed(command.page, of_key), command.document_id
        if doc_id is None or command.vector is not None:
            return shown(await self._search.answer(msgspec.structs.replace(command, page=page), timeout), of_key)
        stored = await self._stored_id(page.collection, doc_id, of_key)
        asked = SimilarCommand(stored, None, page, of_key.condition)
        try:
            return shown(await self._search.answer(asked, timeout), of_key)
        except Conflict:
            raise waiting_document(doc_id) from None
        except NotFound as error:
            if error.param == "document_id":  # deleted meanwhile
                raise no_document(page.collection, doc_id) from None
            raise

    async def _stored_id(self, collection: str, doc_id: str, of_key: DocumentFilter) -> str:
        """Return the stored id of the caller's document.

        Raises:
            NotFound: the caller has no such document.
        """
        check_collection(collection)
        check_document_id(doc_id, "document_id")
        for stored in of_key.candidates(doc_id):
            try:
                view = await self._documents.document(collection, stored)
            except NotFound:
                continue
            if of_key.allows(view.metadata):
                return stored
        raise no_document(collection, doc_id)


class GuardedFacets:
    """``Facets`` for one caller."""

    __slots__ = ("_facets", "_principal")

    def __init__(self, facets: Facets, principal: Principal) -> None:
        self._facets = facets
        self._principal = principal

    async def count(
        self,
        collection: str,
        fields: Sequence[str],
        condition: Filter,
        limit: int,
        hold: Callable[[int], None] = lambda held: None,
    ) -> tuple[int, dict[str, Facet]]:
        """Count documents by the values of fields; see ``Facets.count``.

        Raises:
            Forbidden: the caller may not search this collection.
        """
        check_use(self._principal, "search", collection)
        if self._principal.filter is not None:
            condition = self._principal.filter.narrowed(condition)
        return await self._facets.count(collection, fields, condition, limit, hold)


class GuardedRerank:
    """``Rerank`` for one caller: documents of a request are in no collection, so the role is enough."""

    __slots__ = ("_principal", "_rerank")

    def __init__(self, rerank: Rerank, principal: Principal) -> None:
        self._rerank = rerank
        self._principal = principal

    def check_count(self, count: int, field: str) -> None:
        """Check the number of documents; see ``Rerank.check_count``.

        Raises:
            Forbidden: the caller has not the role ``search``.
        """
        check_role(self._principal, "search")
        self._rerank.check_count(count, field)

    async def answer(self, command: RerankCommand, timeout: float | None = None) -> RerankAnswer:
        """Rerank; see ``Rerank.answer``.

        Raises:
            Forbidden: the caller has not the role ``search``.
            RateLimited: the caller's tokens are used up.
        """
        check_role(self._principal, "search")
        account = metered_caller()
        if account is not None:
            account.check_tokens()
        answer = await self._rerank.answer(command, timeout)
        if account is not None and answer.scores.tokens:
            account.spent(answer.scores.tokens)
        return answer
