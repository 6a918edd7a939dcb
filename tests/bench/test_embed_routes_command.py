"""The comparison of the gateway's route for vectors with the embedder's own."""

from pathlib import Path

import msgspec
import pytest

from gateway_bench import embed_routes

pytestmark = pytest.mark.slow


def test_both_routes_are_measured_and_have_the_same_vectors(
    corpus: Path, model_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "routes.json"
    arguments = ["-c", "1,2", "--rounds", "2", "--seconds", "0.2", "--warm-up", "2", "--batch", "3"]
    arguments += ["--corpus", str(corpus), "--model-dir", str(model_dir), "--json", str(target)]
    assert embed_routes.main(arguments) == 0
    report = msgspec.json.decode(target.read_bytes())
    assert [server["name"] for server in report["servers"]] == ["embedder", "gateway"]
    assert all(server["failure"] is None for server in report["servers"])
    assert report["servers"][1]["cosine"] == pytest.approx(1, abs=0.01)
    assert {row["clients"] for row in report["rows"]} == {1, 2}
    assert "gateway" in capsys.readouterr().out
