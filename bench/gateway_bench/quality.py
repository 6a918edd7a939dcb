"""``python -m gateway_bench.quality --dataset DIR URL``: scores a server on a data set with judged queries.

Exit status: 0 scored, 1 no scores, 2 a wrong argument, 130 interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tqdm import tqdm

from gateway_bench.queries import search_body
from gateway_bench.retrieval.datasets import Dataset, NoDataset, read_dataset
from gateway_bench.retrieval.scores import RANKS, ModeReport, QualityReport, quality_table, score
from tandem_tools.client import SEARCH_PATH, ApiError, Client

MODES = ("dense", "lexical", "auto")

_DEFAULT_MODE = ""


class _Hit(msgspec.Struct):
    id: str


class _Reply(msgspec.Struct):
    results: list[_Hit]


class _ModeUnknown(Exception):
    """The server does not know the field that names the mode."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(
        prog="python -m gateway_bench.quality",
        description="Ingest a data set with judged queries, ask all of them in each search mode, and print nDCG@10, "
        "recall@100 and MRR@10 (trec_eval's implementation).",
        epilog="The documents stay in their collection; DELETE /v1/collections/NAME removes it.",
    )
    made.add_argument("url", metavar="URL", help="base URL of the server")
    made.add_argument(
        "--dataset",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder in BEIR's format (corpus.jsonl, queries.jsonl, qrels/) or in Cranfield's (*.all*, *.qry, *qrel)",
    )
    made.add_argument("--split", default="test", help="split of a BEIR data set (default: test)")
    made.add_argument("--collection", metavar="NAME", help="collection to ingest into (default: quality-FOLDER)")
    made.add_argument(
        "--passages",
        type=_passages,
        metavar="TOKENS",
        help="make the collection with passages of this many tokens, or `whole` for one vector a document "
        "(default: the server's)",
    )
    made.add_argument("--no-ingest", action="store_true", help="the documents are already in the collection")
    made.add_argument(
        "--modes", default=",".join(MODES), metavar="MODE[,...]", help=f"search modes (default: {','.join(MODES)})"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the scores, for gateway_bench.report --quality")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        dataset = read_dataset(options.dataset, options.split)
        collection = options.collection or f"quality-{dataset.name}"
        with Client(options.url) as api:
            if options.passages is not None:
                settings = {"chunking": options.passages or None}
                api.send("PUT", f"/v1/collections/{collection}", body=settings)
            if not options.no_ingest:
                _ingest(api, dataset, collection)
            report = QualityReport(
                dataset.name,
                len(dataset.documents),
                len(dataset.queries),
                _all_modes(api, dataset, collection, [mode for mode in options.modes.split(",") if mode]),
            )
        print(quality_table(report))
        if options.json is not None:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    except (NoDataset, ApiError, OSError) as error:
        print(f"gateway_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gateway_bench: interrupted", file=sys.stderr)
        return 130
    return 0


def _passages(text: str) -> dict[str, int | None]:
    """Return the setting ``chunking`` for the option."""
    if text == "whole":
        return {}
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a number of tokens or `whole` was expected, not {text!r}")
    return {"max_tokens": int(text)}


def _ingest(api: Client, dataset: Dataset, collection: str) -> None:
    with _bar(len(dataset.documents), "ingest", "doc") as bar:

        def show(done: int) -> None:
            bar.n = done
            bar.refresh()

        api.ingest_all(dataset.documents, collection, show)


def _all_modes(api: Client, dataset: Dataset, collection: str, modes: Sequence[str]) -> list[ModeReport]:
    """Return a report for each mode, or for the default alone if the server knows no modes."""
    reports = []
    for mode in modes:
        try:
            reports.append(_one_mode(api, dataset, collection, mode))
        except _ModeUnknown as error:
            reports.append(ModeReport(mode, None, f"refused: {error}"))
    if all(report.scores is None for report in reports):
        reports.append(_one_mode(api, dataset, collection, _DEFAULT_MODE))
    return reports


def _one_mode(api: Client, dataset: Dataset, collection: str, mode: str) -> ModeReport:
    rankings: dict[str, list[str]] = {}
    with _bar(len(dataset.queries), mode or "default", "query") as bar:
        for query, text in dataset.queries.items():
            try:
                body = search_body(text, RANKS, collection, mode or None)
                reply = api.call("POST", SEARCH_PATH, _Reply, body=body)
            except ApiError as error:
                if mode and error.error is not None and error.error.param == "mode":
                    raise _ModeUnknown(error.error.message.replace("|", "/")) from error
                raise
            rankings[query] = [hit.id for hit in reply.results]
            bar.update()
    return ModeReport(mode, score(dataset.judgements, rankings))


def _bar(total: int, description: str, unit: str) -> "tqdm[None]":
    return tqdm(total=total, desc=description, unit=unit, disable=not sys.stderr.isatty(), leave=False)


if __name__ == "__main__":
    sys.exit(main())
