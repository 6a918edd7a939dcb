"""``python -m gateway_bench.embed``: compares embedding servers, Tandem's and others, round by round.

Exit status: 0 all servers were measured, 1 one failed (the table names it) or nothing could be measured, 2 a wrong
argument, 130 interrupted; the measurements so far are written anyway.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tqdm import tqdm

from gateway_bench import corpus
from gateway_bench.architectures.environments import REPOSITORY, EnvironmentFailed, Environments
from gateway_bench.architectures.outside import Outside, add_pids, read_outside, with_pids
from gateway_bench.arguments import positive, positive_whole, several
from gateway_bench.embedding.figures import FORMAT, Report, Subject, make_rows, table
from gateway_bench.embedding.measuring import Findings, Protocol, run_rounds
from gateway_bench.embedding.server import EmbeddingServer
from gateway_bench.embedding.shapes import SHAPES
from gateway_bench.machine import commit_of, this_machine
from gateway_bench.queries import make_queries
from tandem_tools.group import interrupt_once

_TANDEM = "tandem"
# Name → settings of Tandem's own embedder, besides its port and the folder of its model.
_OWN = {
    "tandem": {},
    "tandem-fp32": {"TANDEM_PRECISION": "fp32"},
    "tandem-int8": {"TANDEM_PRECISION": "int8"},
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.embed",
        description="Measure embedding servers side by side: throughput, latency, CPU time and memory of each, for "
        "queries (one text a request) and documents (batches), and how far their vectors agree.",
        epilog="A command runs in a folder of its own, without the caller's TANDEM_ variables (env NAME=VALUE sets "
        "them). It listens on the loopback, on the port that replaces {port} and is in the variable PORT. The "
        "memory and CPU time of a URL are unknown without --pid.",
    )
    made.add_argument(
        "servers",
        nargs="*",
        metavar="NAME[:SHAPE]=URL|COMMAND",
        help=f"a server; the others are compared with the first. SHAPE is {', '.join(SHAPES)} (default: {_TANDEM}). "
        f"The names {', '.join(_OWN)} alone are Tandem's own embedder, with the default precision or the named one "
        f"(default: {_TANDEM})",
    )
    add_pids(made)
    made.add_argument(
        "-c",
        "--clients",
        type=several(positive_whole),
        default=[1, 16, 64],
        metavar="N[,N...]",
        help="clients that wait for an answer before they ask again; a load for each (default: 1,16,64)",
    )
    made.add_argument(
        "--batch", type=positive_whole, default=32, metavar="N", help="documents in a request (default: 32)"
    )
    made.add_argument(
        "--rounds",
        type=positive_whole,
        default=3,
        metavar="N",
        help="interleaved repeats; tables show medians (default: 3)",
    )
    made.add_argument("--seconds", type=positive, default=5.0, metavar="S", help="length of a load (default: 5)")
    made.add_argument(
        "--warm-up",
        type=positive_whole,
        default=64,
        metavar="N",
        help="requests of each kind before the loads (default: 64)",
    )
    made.add_argument(
        "--ready-seconds",
        type=positive,
        default=120.0,
        metavar="S",
        help="a command must answer within this time; raise it for a model that loads slowly (default: 120)",
    )
    made.add_argument(
        "--model",
        default="all-MiniLM-L6-v2",
        metavar="NAME",
        help="name of the model in requests of the shape openai (default: %(default)s)",
    )
    made.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help='JSON lines with "text", for documents and queries (default: the standard library\'s docstrings)',
    )
    made.add_argument(
        "--model-dir",
        type=Path,
        default=Path("models/all-MiniLM-L6-v2"),
        metavar="DIR",
        help="the prepared model of Tandem's own embedder (default: %(default)s)",
    )
    made.add_argument(
        "--venvs",
        type=Path,
        default=Path(".venv-bench"),
        metavar="DIR",
        help="folder for the environment of Tandem's own embedder, if this environment lacks its packages "
        "(default: .venv-bench)",
    )
    made.add_argument("--json", metavar="FILE|-", help="also write all figures as JSON; - is stdout, without the table")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    command = parser()
    options = command.parse_args(arguments)
    try:
        named = [_read(text) for text in options.servers or [_TANDEM]]
        for name, _ in named:
            if [other for other, _ in named].count(name) > 1:
                raise ValueError(f"two servers are named {name!r}")
        outside = with_pids([made.outside for _, made in named if made is not None], options.pid)
        pids = {server.name: server for server in outside}
        named = [(name, made and replace(made, outside=pids[name])) for name, made in named]
    except ValueError as error:
        command.error(str(error))
    interrupt_once()
    try:
        return _measure([made or _own(name, options) for name, made in named], options)
    except (EnvironmentFailed, ValueError, OSError) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; no process is left")
        return 130


def _read(text: str) -> tuple[str, EmbeddingServer | None]:
    """Return a server and its name; None is Tandem's own."""
    if text in _OWN:
        return text, None
    head, equals, what = text.partition("=")
    if not equals:
        raise ValueError(f"NAME[:SHAPE]=URL or NAME[:SHAPE]=COMMAND was expected, not {text!r}")
    name, _, shape = head.partition(":")
    if (shape or _TANDEM) not in SHAPES:
        raise ValueError(f"{shape!r} is none of the shapes {', '.join(SHAPES)}")
    return name, EmbeddingServer(read_outside(name, what), SHAPES[shape or _TANDEM])


def _own(name: str, options: argparse.Namespace) -> EmbeddingServer:
    """Return Tandem's embedder with the prepared model."""
    model_dir = options.model_dir.resolve()
    if not (model_dir / "manifest.json").is_file():
        raise ValueError(f"{options.model_dir} holds no prepared model: run make model, or name one with --model-dir")
    if all(importlib.util.find_spec(module) is not None for module in ("tandem_embedder", "onnxruntime", "tokenizers")):
        python = Path(sys.executable)
    else:
        python = Environments(options.venvs, _say).python("embedder")
    variables = {"TANDEM_EMBEDDER_PORT": "{port}", "TANDEM_MODEL_DIR": str(model_dir), **_OWN[name]}
    return EmbeddingServer(Outside(name, None, (str(python), "-m", "tandem_embedder")), SHAPES[_TANDEM], variables)


def _measure(servers: Sequence[EmbeddingServer], options: argparse.Namespace) -> int:
    if options.json not in (None, "-"):  # a wrong path must not lose the figures at the end
        Path(options.json).parent.mkdir(parents=True, exist_ok=True)
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    documents, _ = corpus.read_corpus(options.corpus)
    if len(documents) < options.batch:
        raise ValueError(f"a batch of {options.batch} needs as many documents; there are {len(documents)}")
    protocol = Protocol(
        queries=make_queries(documents),
        documents=[document.text for document in documents],
        clients=options.clients,
        batch=options.batch,
        rounds=options.rounds,
        seconds=options.seconds,
        warm_up=options.warm_up,
        ready_seconds=options.ready_seconds,
        model=options.model,
    )
    findings = Findings({s.name: Subject(s.name, s.shape.name, s.outside.is_sampled) for s in servers})
    total = options.rounds * len(servers) * protocol.loads_of_a_round
    interrupted = False
    with (
        tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder,
        tqdm(total=total, desc="loads", unit="load", file=sys.stderr) as bar,
    ):

        def advance(name: str, loads: int) -> None:
            bar.set_postfix_str(name)
            bar.update(loads)

        try:
            run_rounds(servers, protocol, Path(folder), findings, advance)
        except KeyboardInterrupt:
            interrupted = True
    subjects = list(findings.subjects.values())
    report = Report(
        format=FORMAT,
        date=date,
        commit=commit_of(REPOSITORY),
        machine=this_machine(),
        rounds=options.rounds,
        seconds=options.seconds,
        clients=options.clients,
        batch=options.batch,
        servers=subjects,
        rows=make_rows([server.name for server in servers], findings.loads),
        loads=findings.loads,
    )
    _write(report, options.json)
    failed = [subject for subject in subjects if subject.failure is not None]
    for subject in failed:
        _say(f"{subject.name} failed: {subject.failure}")
    if interrupted:
        raise KeyboardInterrupt
    return 1 if failed else 0


def _write(report: Report, target: str | None) -> None:
    """Print the table; write the JSON if it is asked for."""
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    if target == "-":
        print(encoded)
        return
    if report.rows:
        print(table(report))
    if target is not None:
        Path(target).write_text(encoded + "\n", encoding="utf-8")


def _say(line: str) -> None:
    print(f"gateway_bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
