"""The command ``search``."""

from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.text import Text

from tandem_cli.app import app
from tandem_cli.arguments import CollectionOption, FilterOption, json_object
from tandem_cli.output import excerpt_width, highlighted, print_json, printable
from tandem_cli.session import Session, command
from tandem_cli.terminal import output_console, progress_console
from tandem_client.replies import Hit, SearchResult

Mode = Literal["auto", "hybrid", "dense", "lexical"]


@command(
    app,
    "search",
    'tandem search "a pet on a rug"',
    "tandem search leaves --mode lexical --top-k 3 --json",
    """tandem search cat --filter '{"page": {"$lt": 5}}'""",
)
def search(
    session: Session,
    query: Annotated[str, typer.Argument(help='The text to search for; "a phrase", -word and prefix* are syntax.')],
    collection: CollectionOption = "default",
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Maximum number of hits.")] = 5,
    mode: Annotated[
        Mode, typer.Option("--mode", "-m", help="auto: hybrid, or one of the two if the other fails.")
    ] = "auto",
    filter: FilterOption = None,
    offset: Annotated[int, typer.Option(min=0, help="Number of hits to skip.")] = 0,
    min_score: Annotated[float | None, typer.Option(help="Lowest cosine of a hit, from -1 to 1.")] = None,
    rerank: Annotated[int | None, typer.Option(min=1, help="Number of the best hits that the reranker orders.")] = None,
    diversity: Annotated[float, typer.Option(min=0.0, max=1.0, help="How much the hits differ from each other.")] = 0.0,
    group_by: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The best hit of each value of a field.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print whole passages.")] = False,
) -> None:
    """Find documents, and print each hit with its score and its best passage, the words of the query marked."""
    with session.client() as client:
        found = client.search(
            query,
            collection=collection,
            top_k=top_k,
            mode=mode,
            filter=json_object(filter, "--filter"),
            offset=offset,
            min_score=min_score,
            rerank=rerank,
            highlight=True,
            diversity=diversity,
            group_by=group_by,
        )
    if session.json:
        print_json(found)
        return
    console = output_console()
    for rank, hit in enumerate(found.results, offset + 1):
        console.print(_heading(rank, hit), soft_wrap=True)
        console.print(_excerpt(hit, whole=text), soft_wrap=not console.is_terminal)
    _notices(found)


def _heading(rank: int, hit: Hit) -> Text:
    line = (
        Text(f"{rank}. ").append(f"{hit.score:.3f}", style="cyan").append("  ").append(printable(hit.id), style="bold")
    )
    if hit.scores is not None:
        scores = [("dense", hit.scores.dense), ("lexical", hit.scores.lexical)]
        told = ", ".join(f"{name} {score:.3f}" for name, score in scores if score is not None)
        line.append(f"  ({told})" if told else "", style="dim")
    if hit.passage is not None and isinstance(hit.passage.heading, str):
        line.append(f"  {printable(hit.passage.heading)}", style="italic")
    return line


def _excerpt(hit: Hit, *, whole: bool) -> Text:
    text = hit.text if hit.passage is None else hit.passage.text
    spans = hit.highlights if hit.passage is None else hit.passage.highlights
    marked = spans if isinstance(spans, list) else []
    return Text("   ").append_text(highlighted(text, marked, max(1, len(text)) if whole else excerpt_width()))


def _notices(found: SearchResult) -> None:
    notices = progress_console()
    if not found.results:
        notices.print("no hits")
    if found.degraded:
        notices.print(f"degraded: {escape(found.mode)} search alone answered")
    if found.query_truncated:
        notices.print("the query is longer than the model's limit; its end was ignored")
    for warning in found.warnings:
        notices.print(f"warning: {escape(printable(warning))}")
