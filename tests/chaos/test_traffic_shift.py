"""Traffic moves between two pools of embedders under load, and returns by itself if the canary is bad."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.faulty import Fault, FaultyEmbedder
from tests.support.ingesting import in_batches
from tests.support.processes import ServiceProcess
from tests.support.searching import SearchLoad
from tests.support.stack import Client, embedder_process, gateway_process, service_url, wait_until
from tests.support.texts import distinct_texts

TOKEN = "a-token-of-operators"


@dataclass
class ShiftFixture:
    """A stable embedder, a canary behind a proxy that spoils its answers, and a gateway."""

    client: Client
    gateway: ServiceProcess
    process: ServiceProcess
    canary: FaultyEmbedder

    def set_share(self, weight: int, shadow: int | None = None) -> dict[str, Any]:
        body = {"canary_weight": weight} if shadow is None else {"canary_weight": weight, "shadow_percent": shadow}
        return self.admin("PUT", body)

    def admin(self, method: str = "GET", body: object = None) -> dict[str, Any]:
        answer = self.client.http.request(
            method, "/v1/admin/traffic", json=body, headers={"authorization": f"Bearer {TOKEN}"}
        )
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()
        return state

    def calls(self) -> tuple[float, float]:
        return (
            self.client.metric("tandem_gateway_pool_calls_total", {"pool": "stable"}),
            self.client.metric("tandem_gateway_pool_calls_total", {"pool": "canary"}),
        )

    def share(self, load: SearchLoad, searches: int) -> float:
        """Return the canary's share of the calls for this number of searches."""
        before = self.calls()
        load.go_on(searches)
        stable, canary = (now - then for now, then in zip(self.calls(), before, strict=True))
        return canary / (stable + canary)

    def settles_at(self, share: float, load: SearchLoad) -> bool:
        """Wait until running calls have ended; return whether the canary's share has this value and keeps it."""
        wait_until(lambda: self.share(load, 20) == share, f"a share of {share:g}")
        return self.share(load, 100) == share

    def knows_the_canary(self) -> bool:
        state = self.admin()
        (stable,), (canary,) = state["stable"]["replicas"], state["canary"]["replicas"]
        return canary["status"] == "serving" and None is not canary["fingerprint"] == stable["fingerprint"]


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, model_dir: Path, embedder: ServiceProcess
) -> Iterator[ShiftFixture]:
    folder = tmp_path_factory.mktemp("shift")
    with ExitStack() as stack:
        process = stack.enter_context(embedder_process(folder, model_dir, name="canary"))
        canary = stack.enter_context(FaultyEmbedder(service_url(process)))
        environment = {
            "TANDEM_CANARY_URL": canary.url,
            "TANDEM_ADMIN_TOKEN": TOKEN,
            "TANDEM_ROLLBACK_SAMPLES": "10",
            # Both pools share the machine with the load: only a large difference in time is due to the canary.
            "TANDEM_ROLLBACK_P95_RATIO": "10",
            "TANDEM_QUERY_CACHE_SIZE": "0",
            "TANDEM_BULK_TIMEOUT_SECONDS": "5",
        }
        gateway, client = gateway_process(folder, folder / "data", service_url(embedder), env=environment)
        stack.callback(client.close)
        stack.enter_context(gateway)
        client.ingest_and_wait([{"id": "x", "text": "a document"}])
        yield ShiftFixture(client, gateway, process, canary)


@pytest.fixture
def shift(shared: ShiftFixture) -> Iterator[ShiftFixture]:
    shared.set_share(0, 0)
    wait_until(shared.knows_the_canary, "a canary of the same model")
    yield shared
    shared.canary.fault = None
    shared.canary.change = lambda reply: None


def test_all_of_the_traffic_moves_in_steps_and_back(shift: ShiftFixture) -> None:
    (documents,) = in_batches(distinct_texts(200, seed=40), 200)
    with SearchLoad(shift.client.url) as load:
        assert shift.share(load, 100) == 0
        shift.set_share(10)
        assert 0.01 <= shift.share(load, 400) <= 0.3
        shift.set_share(50)
        assert 0.3 <= shift.share(load, 300) <= 0.7
        shift.client.ingest_and_wait(documents)
        shift.set_share(100)
        assert shift.settles_at(1, load)
        assert shift.client.metric("tandem_gateway_canary_weight") == 100
        shift.set_share(0)  # rolled back
        assert shift.settles_at(0, load)
    assert load.failures == []
    assert shift.client.found(documents[3]["text"], 1) == [documents[3]["id"]]
    shifts = [line for line in shift.gateway.log_lines() if line["message"] == "traffic shifted"]
    assert [line["to"] for line in shifts[-4:]] == [10, 50, 100, 0]
    assert shift.admin()["last_roll_back"] is None


def rolled_back(shift: ShiftFixture, load: SearchLoad, reason: str, before: float) -> dict[str, Any]:
    labels = {"reason": reason}
    wait_until(
        lambda: shift.client.metric("tandem_gateway_canary_rollbacks_total", labels) > before,
        "a roll-back",
        timeout=60,
    )
    assert shift.settles_at(0, load)
    assert shift.client.metric("tandem_gateway_canary_weight") == 0
    events = [line for line in shift.gateway.log_lines() if line["message"] == "canary rolled back"]
    assert (events[-1]["level"], events[-1]["reason"]) == ("error", reason)
    state = shift.admin()
    assert state["last_roll_back"]["reason"] == reason
    assert state["last_roll_back"]["detail"] == events[-1]["detail"]
    return state


@pytest.mark.parametrize(("fault", "reason"), [("garbage", "errors"), ("hung", "errors"), ("slow", "latency")])
def test_a_canary_that_goes_wrong_loses_its_share_and_no_search_fails(
    shift: ShiftFixture, fault: Fault, reason: str
) -> None:
    shift.canary.slow_seconds = 1.0
    before = shift.client.metric("tandem_gateway_canary_rollbacks_total", {"reason": reason})
    with SearchLoad(shift.client.url) as load:
        shift.set_share(50)
        load.go_on(100)
        shift.canary.fault = fault
        state = rolled_back(shift, load, reason, before)
        assert state["last_roll_back"]["canary_weight"] == 50
        # Once the canary has recovered, an operator restores its share.
        shift.canary.fault = None
        wait_until(shift.knows_the_canary, "the canary is well again")
        shift.set_share(50)
        assert shift.share(load, 100) > 0.2
    assert load.failures == []


def test_a_killed_canary_loses_its_share_and_no_search_fails(shift: ShiftFixture) -> None:
    before = shift.client.metric("tandem_gateway_canary_rollbacks_total", {"reason": "errors"})
    with SearchLoad(shift.client.url) as load:
        shift.set_share(100)
        load.go_on(50)
        shift.process.kill()
        try:
            rolled_back(shift, load, "errors", before)
        finally:
            shift.process.start().wait_ready()
    assert load.failures == []


def test_a_canary_of_slightly_other_vectors_is_found_out_by_shadow_calls(shift: ShiftFixture) -> None:
    def disturb(reply: dict[str, Any]) -> None:
        vectors = np.frombuffer(reply["embeddings"], "<f4").reshape(-1, reply["dim"]).copy()
        vectors[:, ::8] *= -1
        reply["embeddings"] = vectors.tobytes()

    before = shift.client.metric("tandem_gateway_canary_rollbacks_total", {"reason": "parity"})
    shadows = shift.client.metric("tandem_gateway_shadow_calls_total", {"stable": "ok", "canary": "ok"})
    with SearchLoad(shift.client.url) as load:
        state = shift.set_share(0, 100)
        assert (state["canary_weight"], state["shadow_percent"]) == (0, 100)
        wait_until(lambda: shift.admin()["compared_texts"] >= 20, "comparisons")
        assert shift.admin()["cosine_p5"] > 0.9999
        assert shift.share(load, 50) == 0
        shift.canary.change = disturb
        shift.set_share(10, 100)

        def has_rolled_back() -> bool:
            if shift.client.metric("tandem_gateway_canary_rollbacks_total", {"reason": "parity"}) > before:
                return True
            if shift.admin()["canary_weight"] == 0:  # a busy machine: its latency was the first reason
                shift.set_share(10, 100)
            return False

        wait_until(has_rolled_back, "a roll-back for parity", 60)
        state = rolled_back(shift, load, "parity", before)
        assert state["shadow_percent"] == 100
    assert load.failures == []
    assert shift.client.metric("tandem_gateway_shadow_calls_total", {"stable": "ok", "canary": "ok"}) > shadows
    assert shift.client.metric("tandem_gateway_shadow_cosine_bucket", {"le": "0.99"}) > 0
    assert shift.client.metric("tandem_gateway_shadow_difference_seconds_count") > 0


def test_a_canary_with_another_model_gets_no_calls_at_any_weight(shift: ShiftFixture) -> None:
    shift.canary.fault = "other model"
    (documents,) = in_batches(distinct_texts(64, seed=41), 64)
    with SearchLoad(shift.client.url) as load:
        shift.set_share(100)
        wait_until(lambda: not shift.knows_the_canary(), "the canary's new model is seen")
        load.go_on(10)
        before = shift.client.metric("tandem_gateway_canary_fallbacks_total", {"reason": "model"})
        assert shift.share(load, 50) == 0
        shift.client.ingest_and_wait(documents)
        assert shift.client.metric("tandem_gateway_canary_fallbacks_total", {"reason": "model"}) > before
    assert load.failures == []
    assert shift.client.metric("tandem_gateway_fingerprint_mismatches_total") == 0
    assert shift.client.found(documents[5]["text"], 1) == [documents[5]["id"]]
