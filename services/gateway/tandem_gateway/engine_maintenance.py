"""Updates, rebuilds and verifies vector engines; ``maintenance`` does so for the gateway's own indexes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from tandem_gateway.errors import StorageUnavailable, VectorsGone, for_log
from tandem_gateway.index.engine_update import Writer, space_of
from tandem_gateway.index.followed import following_engine
from tandem_gateway.ports.change_log import IndexFeed
from tandem_gateway.ports.leadership import Leadership
from tandem_gateway.ports.vector_engine import VectorEngine
from tandem_gateway.records.documents import CollectionRecord
from tandem_gateway.records.engines import OWN_ENGINE, EngineState
from tandem_gateway.records.index import Saved

Print = Callable[[str], None]

_LEASE_SECONDS: Final = 60.0
_SAMPLE: Final = 1000


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of a store, by name, and who updates them."""

    by_name: Mapping[str, VectorEngine]
    leadership: Leadership

    def update(
        self,
        feed: IndexFeed,
        may_write: Callable[[], bool] = lambda: True,
        report: Print = lambda line: None,
        *,
        rebuild: bool = False,
    ) -> list[Saved]:
        """Bring each space in an engine up to date, if no other gateway does so now.

        Args:
            feed: the store.
            may_write: called before each page; False ends the update.
            report: called with a line of progress.
            rebuild: whether to fill each from the start.

        Returns:
            For each space the position that searches in its engine see, or the error of its engine.
        """
        done = []
        records = [record for record in feed.spaces().all() if record.engine != OWN_ENGINE]
        for record in records:
            if record.dim is None:
                continue
            try:
                state = self._update(feed, record, may_write, report, rebuild=rebuild)
            except (StorageUnavailable, VectorsGone) as error:
                done.append(Saved(record.space_id, 0, graph=False, engine=True, error=for_log(error)))
                continue
            if state is not None:
                done.append(Saved(record.space_id, state.visible, graph=False, engine=True))
        if may_write() and self.leadership.take("engines", _LEASE_SECONDS):
            self._remove_orphans(feed, report)
        return done

    def close(self) -> None:
        """Close all connections."""
        for engine in self.by_name.values():
            engine.close()
        self.leadership.close()

    def _update(
        self,
        feed: IndexFeed,
        record: CollectionRecord,
        may_write: Callable[[], bool],
        report: Print,
        *,
        rebuild: bool,
    ) -> EngineState | None:
        engine = self._engine(record)
        work = f"engine/{record.space_id}"
        if not self.leadership.take(work, _LEASE_SECONDS):
            return engine.state(space_of(feed, record))

        def may_still_write() -> bool:
            return may_write() and self.leadership.take(work, _LEASE_SECONDS)

        try:
            return Writer(engine, feed, may_still_write, report).update(record, rebuild=rebuild)
        finally:
            self.leadership.give_back(work)

    def _engine(self, record: CollectionRecord) -> VectorEngine:
        engine = self.by_name.get(record.engine)
        if engine is None:
            raise StorageUnavailable(
                f"collection {record.name!r} is in the engine {record.engine!r}, which this gateway has no setting for"
            )
        return engine

    def _remove_orphans(self, feed: IndexFeed, report: Print) -> None:
        spaces: dict[str, list[int]] = {name: [] for name in self.by_name}
        for record in feed.spaces().all():
            if record.engine in spaces:
                spaces[record.engine].append(record.space_id)
        for name, engine in self.by_name.items():
            try:
                removed = engine.remove_orphans(feed.store_id(), spaces[name])
            except (StorageUnavailable, VectorsGone) as error:
                report(f"engine {name}: orphans could not be removed: {for_log(error)}")
                continue
            for each in removed:
                report(f"engine {name}: {each} belonged to no collection, or was replaced, and was removed")

    def verify(self, feed: IndexFeed, record: CollectionRecord) -> tuple[bool, str]:
        """Compare an engine with the store, and search for some vectors. Return whether it agrees, and a verdict.

        An engine gives no proof that it finds each vector; the verdict tells how many of a sample it finds.
        """
        started = time.monotonic()
        try:
            engine = self._engine(record)
            state = engine.state(space_of(feed, record))
            if state is None:
                return True, f"{record.engine} has no vectors yet"
            followed = following_engine(engine, feed, record)
            stored = feed.passage_ids(record.space_id)
            held = followed.index.keys()
            missing, foreign = len(np.setdiff1d(stored, held)), len(np.setdiff1d(held, stored))
            if missing or foreign:
                return False, (
                    f"{record.engine} lacks {missing} vectors of the store and has {foreign} that the store has not; "
                    "run `python -m tandem_gateway rebuild`"
                )
            sample = np.random.default_rng(0).permutation(stored)[:_SAMPLE].tolist()
            vectors = feed.vectors(record.space_id, sorted(sample))
            found = 0
            for key, vector in vectors.items():
                (candidates,) = followed.index.search(np.frombuffer(vector, "<f4")[None], 10)
                found += key in candidates.keys
        except (StorageUnavailable, VectorsGone) as error:
            return False, for_log(error)
        return True, (
            f"{record.engine} agrees with the store in {len(stored)} vectors up to change {state.written}, and finds "
            f"{found} of {len(vectors)} by their own vector ({time.monotonic() - started:.1f} s)"
        )
