"""The rules between settings, and the error for an invalid one."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tandem_embedder.settings import Settings
from tandem_runtime.settings import SettingsError, read
from tests.embedder.serving.manifests import MANIFEST

INT8_ALONE = msgspec.structs.replace(MANIFEST, variants={"int8": MANIFEST.variants["int8"]})


def test_the_defaults_keep_their_own_rules():
    settings = read(Settings, {})
    settings.check_model(MANIFEST)
    assert settings.model_dir == Path("models/all-MiniLM-L6-v2")
    assert settings.batch_limits().budget("interactive") == 512
    assert settings.batch_limits().budget("bulk") == 160


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TANDEM_MAX_BULK_BATCH_TOKENS": "513"}, "TANDEM_MAX_BULK_BATCH_TOKENS"),
        ({"TANDEM_MAX_QUEUED_TOKENS": "511"}, "TANDEM_MAX_QUEUED_TOKENS"),
        ({"TANDEM_PRECISION": "int4"}, "TANDEM_PRECISION"),
        ({"TANDEM_THREADS": "-1"}, "TANDEM_THREADS"),
        ({"TANDEM_EMBEDDER_PORT": "http"}, "TANDEM_EMBEDDER_PORT"),
        ({"TANDEM_EMBED_TIMEOUT_SECONDS": "nan"}, "TANDEM_EMBED_TIMEOUT_SECONDS"),
    ],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], named: str):
    with pytest.raises(SettingsError, match=named):
        read(Settings, environment)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TANDEM_PRECISION": "fp32"}, "TANDEM_PRECISION"),
        ({"TANDEM_MAX_BATCH_TOKENS": "255", "TANDEM_MAX_BULK_BATCH_TOKENS": "255"}, "TANDEM_MAX_BATCH_TOKENS"),
    ],
)
def test_a_setting_that_does_not_fit_the_model_is_named(environment: dict[str, str], named: str):
    settings = read(Settings, environment)
    with pytest.raises(ValueError, match=named):
        settings.check_model(INT8_ALONE)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "tandem_embedder", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_wrong_flag_ends_the_start_with_one_line_and_status_2():
    ended = run("--max-bulk-batch-tokens", "1000")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert "TANDEM_MAX_BULK_BATCH_TOKENS=1000" in ended.stderr


def test_help_names_the_variables_and_their_defaults():
    ended = run("--help")
    assert ended.returncode == 0
    text = " ".join(ended.stdout.split())
    assert "TANDEM_MAX_QUEUED_TOKENS, default 32768" in text
    assert "429" in text


@pytest.mark.parametrize(
    ("workers", "threads", "usable", "expected"), [(0, 1, 4, 4), (0, 2, 4, 2), (0, 8, 4, 1), (0, 1, 1, 1), (3, 1, 8, 3)]
)
def test_workers_are_as_many_as_can_run_unless_they_are_given(workers: int, threads: int, usable: int, expected: int):
    assert Settings(workers=workers, threads=threads).with_workers(usable).workers == expected
