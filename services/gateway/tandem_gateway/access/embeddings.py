"""Vectors for a caller: they need the role ``search`` and no collection, because they come from no stored document."""

from tandem_gateway.access.accounts import metered_caller
from tandem_gateway.access.principal import Principal, check_role
from tandem_gateway.records.embedders import ServedModel
from tandem_gateway.use_cases.embed_request import EmbedCommand, EmbeddedTexts
from tandem_gateway.use_cases.embed_texts import EmbedTexts
from tandem_runtime.memory import Lease


class GuardedEmbedTexts:
    """``EmbedTexts`` for one caller. Each method also raises Forbidden."""

    __slots__ = ("_embed_texts", "_principal")

    def __init__(self, embed_texts: EmbedTexts, principal: Principal) -> None:
        self._embed_texts = embed_texts
        self._principal = principal

    def model(self) -> ServedModel:
        """Return the served model; see ``EmbedTexts.model``."""
        check_role(self._principal, "search")
        return self._embed_texts.model()

    def names(self) -> list[str]:
        """Return the names of the served model; see ``EmbedTexts.names``."""
        check_role(self._principal, "search")
        return self._embed_texts.names()

    def knows(self, name: str) -> bool:
        """Return whether this is a name of the served model; see ``EmbedTexts.knows``."""
        check_role(self._principal, "search")
        return self._embed_texts.knows(name)

    async def embed(self, command: EmbedCommand, lease: Lease, timeout: float | None = None) -> EmbeddedTexts:
        """Return the vectors of texts; see ``EmbedTexts.embed``."""
        check_role(self._principal, "search")
        account = metered_caller()
        if account is not None:
            account.check_tokens()
        embedded = await self._embed_texts.embed(command, lease, timeout)
        if account is not None:
            account.spent(embedded.tokens)
        return embedded
