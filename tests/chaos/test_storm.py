"""A short storm passes, and a document that disappears behind the storm's back ends it with an account."""

import random
import tempfile
from pathlib import Path

import pytest

from tests.chaos import storm
from tests.support.storm import check, rounds


@pytest.mark.parametrize("kind", ["kill", "upgrade"])
def test_a_round(kind: str, tmp_path: Path) -> None:
    counts = storm.storm(tmp_path, 1, seed=1, kinds=[kind])
    assert counts["rounds"] == 1
    assert counts["kills"] >= 1


def test_a_lost_document_ends_the_storm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def losing(storming: rounds.Storm, draw: random.Random, *, whole: bool = False) -> None:
        for writer in storming._writers:
            model = writer.model
            known = sorted((model.worlds[0] or {}).keys() - model.differing())
            if known and storming._client.delete_document(known[0], model.name):
                check.check(storming._client, [model], writer.jobs, draw, whole=True)

    monkeypatch.setattr(rounds.Storm, "_check", losing)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert storm.main(["--rounds", "3", "--seed", "5", "--kind", "stop"]) == 1
    told = capsys.readouterr()
    assert "seed 5, 3 rounds" in told.out
    assert "VIOLATION with seed 5, round 1 (stop): " in told.err
    assert "expected None" not in told.err
    assert "found None" in told.err
    (kept,) = tmp_path.glob("tandem-storm-*")
    assert (kept / "gateway.log").is_file()
