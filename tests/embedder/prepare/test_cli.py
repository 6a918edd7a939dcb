"""The command: its arguments, its output, and its exit status."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_embedder.prepare import cli
from tandem_embedder.prepare.errors import SourceError
from tandem_embedder.prepare.hub import Hub
from tandem_embedder.prepare.package import Package
from tandem_embedder.prepare.sources import LocalFolder
from tests.embedder.prepare.tiny_bert import write_folder


def test_a_folder_is_prepared_and_then_recognised(tiny: Path, tmp_path: Path, capsys) -> None:
    command = ["--source", str(tiny), "--out", str(tmp_path / "out"), "--name", "people/tiny"]
    assert cli.main(command) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"prepared: {tmp_path / 'out'}: people/tiny: fp32 ")
    assert "int8" in last
    assert last.endswith(" s")
    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("already prepared: ")


def test_without_its_packages_it_names_the_extra() -> None:
    blocked = "import sys; sys.modules['huggingface_hub'] = None; import tandem_embedder.prepare.__main__"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "tandem-prepare: the package huggingface_hub is not installed; install tandem-services[prepare]\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--out", "x", "--precision", "int4"],
        ["--out", "x", "--from", "elsewhere"],
        ["--out", "x", "--no-such-option"],
    ],
)
def test_argparse_refuses_with_2(options: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(options)
    assert caught.value.code == 2
    assert "usage: python -m tandem_embedder.prepare" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--source", "a", "--from", "hub"], ["--name", "b"]], ids=["source and from", "name alone"]
)
def test_contradicting_options_are_refused_with_2(options: list[str], tmp_path: Path, capsys) -> None:
    assert cli.main(["--out", str(tmp_path / "out"), *options]) == 2
    assert capsys.readouterr().err.startswith("error: --")


def test_an_error_is_one_line_and_1(tmp_path: Path, capsys) -> None:
    folder = write_folder(tmp_path / "m", hidden_act="silu")
    assert cli.main(["--source", str(folder), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {folder}/config.json: hidden_act: 'silu' is not supported")


def test_a_place_that_cannot_be_written_is_one_line_and_1(tiny: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["--source", str(tiny), "--out", str(tmp_path / "file" / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_source_at_all_is_one_line_and_1(tmp_path: Path, capsys, monkeypatch) -> None:
    class Broken:
        description = "nowhere"

        def fetch(self):
            raise SourceError("it is down")

    monkeypatch.setattr(cli, "sources", lambda options, progress: [Broken(), Broken()])
    assert cli.main(["--out", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: no source could deliver the model: it is down; it is down\n"
    assert captured.out.count("model: trying nowhere") == 2


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ([], [Hub, Package]),
        (["--from", "auto"], [Hub, Package]),
        (["--from", "hub"], [Hub]),
        (["--from", "package"], [Package]),
        (["--source", "x"], [LocalFolder]),
    ],
)
def test_the_order_of_the_sources(options: list[str], kinds: list[type], progress) -> None:
    parsed = cli.parser().parse_args(["--out", "x", *options])
    assert [type(source) for source in cli.sources(parsed, progress)] == kinds


def test_an_interrupt_is_130_and_leaves_nothing(tiny: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tandem_embedder.prepare.pipeline.known_answers.check_fp32", interrupt)
    assert cli.main(["--source", str(tiny), "--out", str(tmp_path / "models/out")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


def test_sigterm_unwinds_a_real_process(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "out"
    command = [sys.executable, "-u", "-m", "tandem_embedder.prepare", "--source", str(tiny), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("model: trying the folder")
        process.send_signal(signal.SIGTERM)
        error = process.stderr.read()
        # It may have finished before the signal; it must never leave an incomplete result.
        assert process.wait(60) in {0, 130}, error
    assert "Traceback" not in error
    assert [path.name for path in out.parent.iterdir()] in ([], ["out"])
    assert not out.exists() or (out / "manifest.json").is_file()


def test_help_names_every_option(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--out", "--source", "--from", "--precision", "--cache", "--name", "--force", "HF_HUB_OFFLINE"):
        assert option in text
