"""The searches of a caller: they need the role ``search`` and the collection."""

from collections.abc import Callable, Sequence

from tandem_gateway.access.accounts import metered_caller
from tandem_gateway.access.principal import Principal, check_use
from tandem_gateway.filters.tree import Filter
from tandem_gateway.use_cases.batch_search import BatchSearch
from tandem_gateway.use_cases.commands import SearchCommand, SimilarCommand
from tandem_gateway.use_cases.facets import Facet, Facets
from tandem_gateway.use_cases.result_pages import Answer
from tandem_gateway.use_cases.search_pipeline import SearchPipeline
from tandem_gateway.use_cases.similar_search import SimilarSearch


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
        if command.mode != "lexical" and (account := metered_caller()) is not None:
            account.check_tokens()
        return await self._search.answer(command, timeout)


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
        if account is not None and any(command.mode != "lexical" for command in commands):
            account.check_tokens()
        return await self._search.answer(commands, timeout)


class GuardedSimilarSearch:
    """``SimilarSearch`` for one caller."""

    __slots__ = ("_principal", "_search")

    def __init__(self, search: SimilarSearch, principal: Principal) -> None:
        self._search = search
        self._principal = principal

    async def answer(self, command: SimilarCommand, timeout: float | None = None) -> Answer:
        """Answer a search for similar documents; see ``SimilarSearch.answer``.

        Raises:
            Forbidden: the caller may not search this collection.
        """
        check_use(self._principal, "search", command.page.collection)
        return await self._search.answer(command, timeout)


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
        return await self._facets.count(collection, fields, condition, limit, hold)
