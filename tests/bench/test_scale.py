"""The measurement of a gateway at several sizes, on a small corpus with real services."""

import pytest

from gateway_bench import scale
from gateway_bench.architectures.stub_embedder import QUERIES


def test_it_measures_a_gateway(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--vectors", "150", "--queries", "6", "--rounds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "150 vectors"
    name, _, ratio, recall, *_ = lines[4].strip("| ").split(" | ")
    assert (name, ratio, recall) == ("tandem", "1.000", "1.0000")


def test_a_wrong_argument_and_a_gateway_that_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--queries", str(QUERIES + 1)], ["--gateway", "=false"]):
        with pytest.raises(SystemExit) as stopped:
            scale.main(wrong)
        assert stopped.value.code == 2
    assert scale.main(["--vectors", "10", "--gateway", "x=false"]) == 1
    assert "scale: " in capsys.readouterr().err
