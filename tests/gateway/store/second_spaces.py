"""Rules of histories that embed collections with another model, switch, go back, and drop the vectors."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tandem_gateway.errors import Conflict
from tandem_gateway.records.arrays import Vectors
from tandem_gateway.records.reembedding import SpaceModel
from tests.gateway.ports.backends import Store
from tests.support.fakes import DIM, FINGERPRINT, MODEL, vectors_of
from tests.support.reembedding import SAME_SIZE, second_vectors, text_of

R = TypeVar("R")

FIRST = SpaceModel(MODEL, FINGERPRINT, DIM)
COLLECTIONS = st.sampled_from(["default", "books"])


class SecondSpaces(RuleBasedStateMachine):
    """The models of the collections' spaces, and the rules that change them."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.serving: dict[str, SpaceModel] = {}
        """Collection with a model → the model."""
        self.second: dict[str, SpaceModel] = {}
        """Collection with a second space → its model."""
        self.switched: dict[str, bool] = {}

    def do(self, work: Coroutine[Any, Any, R]) -> R:
        raise NotImplementedError

    def model_of(self, collection: str) -> SpaceModel:
        """Return the model of the collection's vectors, or of its first ones."""
        return self.serving.get(collection, FIRST)

    def vectors(self, collection: str, texts: list[str]) -> Vectors:
        model = self.model_of(collection)
        return vectors_of([text_of(text, model) for text in texts])

    def pin(self, collection: str) -> None:
        """Note that the collection got a vector."""
        self.serving.setdefault(collection, FIRST)

    def forget(self, collection: str) -> None:
        """Note that the collection is gone."""
        for models in (self.serving, self.second, self.switched):
            models.pop(collection, None)

    def ingest_and_embed(self, collection: str) -> None:
        """Give a collection its first vector, if a document can get one."""
        raise NotImplementedError

    @rule(collection=COLLECTIONS, limit=st.integers(1, 4), pages=st.integers(0, 9), switch=st.booleans())
    def reembed(self, collection: str, limit: int, pages: int, switch: bool) -> None:
        """Begin or go on, and switch or go back; one rule, because few histories have these steps in order."""
        if collection not in self.serving:
            self.ingest_and_embed(collection)
        if collection not in self.serving:
            return
        if collection not in self.second:
            self.start_second(collection)
        self.fill(collection, limit, pages)
        if switch:
            self.exchange(collection, back=self.switched[collection])

    def start_second(self, collection: str) -> None:
        target = SAME_SIZE if self.serving[collection] == FIRST else FIRST
        self.do(self.store.reembeddings.start(collection, target))
        self.second[collection], self.switched[collection] = target, False

    def fill(self, collection: str, limit: int, pages: int) -> None:
        state = self.do(self.store.reembeddings.reembedding(collection))
        assert state is not None
        assert state.space.target == self.second[collection]
        after = 0
        for _ in range(pages):
            page = self.do(self.store.reembeddings.missing(state.space, after, limit))
            if page.passages:
                added = self.do(self.store.reembeddings.add(second_vectors(state.space, page.passages)))
                assert added == len(page.passages)
            after = page.after
            if page.complete:
                break

    @precondition(lambda self: self.second)
    @rule(data=st.data(), back=st.booleans())
    def switch(self, data: st.DataObject, back: bool) -> None:
        self.exchange(data.draw(st.sampled_from(sorted(self.second))), back=back)

    def exchange(self, collection: str, *, back: bool) -> None:
        state = self.do(self.store.reembeddings.reembedding(collection))
        assert state is not None
        assert state.space.switched == self.switched[collection]
        try:
            self.do(self.store.reembeddings.switch(collection, back=back))
        except Conflict:
            assert self.switched[collection] != back or not state.complete
        else:
            assert self.switched[collection] == back
            self.switched[collection] = not back
            self.serving[collection], self.second[collection] = self.second[collection], self.serving[collection]

    @precondition(lambda self: self.second)
    @rule(collection=COLLECTIONS)
    def drop(self, collection: str) -> None:
        assert self.do(self.store.reembeddings.drop(collection)) == (collection in self.second)
        self.second.pop(collection, None)
        self.switched.pop(collection, None)
