"""The whole preparation: look for an existing result, fetch, write, check, publish."""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from tandem_embedder.model.prepared_model import (
    FORMAT,
    Manifest,
    Precision,
    PreparedModelError,
    Source,
    Variant,
    record_of,
    sha256_of,
)
from tandem_embedder.prepare import known_answers, publish
from tandem_embedder.prepare.errors import PublishError, UsageError
from tandem_embedder.prepare.fingerprint import fingerprint
from tandem_embedder.prepare.known_answers import Check
from tandem_embedder.prepare.locking import exclusive
from tandem_embedder.prepare.model_spec import (
    CONFIG,
    MODULES,
    PROMPTS_CONFIG,
    SENTENCE_CONFIG,
    TOKENIZER_CONFIG,
)
from tandem_embedder.prepare.progress import Progress
from tandem_embedder.prepare.recipes import BERT_RECIPES, Plan, plan
from tandem_embedder.prepare.runtime import Graph
from tandem_embedder.prepare.sources import PINNED, SourceFolder
from tandem_embedder.prepare.tokenizer_file import TOKENIZER, TextTokenizer, serialise


@dataclass(frozen=True)
class Request:
    """The model to prepare, and the target folder."""

    out: Path
    precisions: tuple[Precision, ...] | None
    """None for all precisions that the model's recipe supports."""
    fetch: Callable[[], SourceFolder]
    """Returns the source folder. Not called if ``out`` already has the pinned model."""
    pinned: bool
    """Whether the requested model is ``PINNED``, which the preparation can recognise without its source."""
    force: bool = False
    """Whether to prepare the model again even if ``out`` already has it."""


@dataclass(frozen=True)
class Outcome:
    """The prepared model at ``out``."""

    manifest: Manifest
    made: bool
    """False if ``out`` already had the model."""
    seconds: float


def prepare(request: Request, progress: Progress) -> Outcome:
    """Prepare a model. Changes nothing if ``request.out`` already has it, complete and undamaged.

    Raises:
        PrepareError: if the preparation fails; ``request.out`` is then unchanged.
    """
    started = time.monotonic()
    out = request.out.absolute()

    def waiting() -> None:
        progress.report(f"waiting for another preparation in {out.parent}")

    try:
        with exclusive(out.parent, waiting):
            existing = None if request.force else _existing(out, progress)
            if existing is not None and request.pinned and _is_pinned(existing, request.precisions):
                return Outcome(existing, False, time.monotonic() - started)
            publish.check_replaceable(out)
            source = request.fetch()
            work = plan(source.path)
            precisions = _choose(work, request.precisions, progress)
            fingerprints = {precision: fingerprint(work.definition(precision)) for precision in precisions}
            if existing is not None and _has(existing, fingerprints):
                return Outcome(existing, False, time.monotonic() - started)
            with publish.staging(out) as staged:
                manifest = _build(staged, source, work, fingerprints, progress)
                publish.publish(staged, out, manifest)
            return Outcome(manifest, True, time.monotonic() - started)
    except OSError as error:
        raise PublishError(f"{error.filename or out}: {error.strerror or error}") from error


def _existing(out: Path, progress: Progress) -> Manifest | None:
    try:
        return publish.read_complete(out)
    except PreparedModelError as error:
        # First reject a folder that is not a prepared model at all: it must not be reported as a damaged one.
        publish.check_replaceable(out)
        progress.report(f"the artefact there cannot be used and is made anew: {error}")
        return None


def _is_pinned(manifest: Manifest, precisions: tuple[Precision, ...] | None) -> bool:
    """Return whether ``manifest`` is of the pinned model, made with the current recipes.

    The weights, the tokenizer and the recipes determine the rest of the prepared model.
    """
    wanted = precisions or get_args(Precision)
    return (
        manifest.source.kind != "folder"
        and all(manifest.source.sha256.get(name) == PINNED.sha256[name] for name in PINNED.vector_files)
        and all(name in manifest.variants for name in wanted)
        and all(manifest.variants[name].recipe == BERT_RECIPES[name] for name in wanted)
    )


def _has(manifest: Manifest, fingerprints: dict[Precision, str]) -> bool:
    return all(
        name in manifest.variants and manifest.variants[name].fingerprint == value
        for name, value in fingerprints.items()
    )


def _choose(work: Plan, wanted: tuple[Precision, ...] | None, progress: Progress) -> tuple[Precision, ...]:
    possible = work.recipe.precisions
    if wanted is None:
        if "int8" not in possible:
            progress.report("the model brings its own graph, which is taken as it is: no int8 is made of it")
        return possible
    impossible = [precision for precision in wanted if precision not in possible]
    if impossible:
        raise UsageError(f"--precision {impossible[0]}: the model brings its own graph, which is taken as it is")
    return wanted


def _build(
    staged: Path,
    source: SourceFolder,
    work: Plan,
    fingerprints: dict[Precision, str],
    progress: Progress,
) -> Manifest:
    recipe, spec = work.recipe, work.recipe.spec
    tokenizer = TextTokenizer(work.tokenizer, spec.max_seq_length)
    (staged / publish.TOKENIZER_NAME).write_text(serialise(work.tokenizer), encoding="utf-8")

    # Always write fp32: the known answers and the calibration come from it.
    paths: dict[Precision, Path] = {"fp32": staged / "fp32/model.onnx"}
    paths |= {precision: staged / precision / "model.onnx" for precision in fingerprints}
    progress.report(f"writing {' and '.join(paths)} from {source.path}")
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    dim = recipe.write(paths, tokenizer, progress)

    progress.report("checking against the known answers")
    texts = known_answers.known_texts(spec.max_seq_length)
    reference = Graph(paths["fp32"])
    known = known_answers.answer(reference, tokenizer, texts)
    (staged / publish.KNOWN_ANSWERS_NAME).write_bytes(known_answers.encode(known))
    checks: dict[Precision, Check] = {"fp32": known_answers.check_fp32(reference, tokenizer, known)}
    if "int8" in fingerprints:
        checks["int8"] = known_answers.check_int8(paths["int8"], tokenizer, known)
    for precision, check in checks.items():
        progress.report(f"  {precision}: least cosine {check.least:.5f}, at least {check.limit:.5f} needed")
    if not all(check.passed for check in checks.values()):
        progress.report(_int8_warning("fp32" in fingerprints))
    if "fp32" not in fingerprints:
        for file in paths["fp32"].parent.iterdir():
            file.unlink()
        paths["fp32"].parent.rmdir()

    return Manifest(
        format=FORMAT,
        model=source.model,
        dim=dim,
        max_seq_length=spec.max_seq_length,
        pooling=spec.pooling,
        source=Source(source.kind, source.reference, _source_hashes(source.path, work)),
        tokenizer=record_of(staged / publish.TOKENIZER_NAME),
        known_answers=record_of(staged / publish.KNOWN_ANSWERS_NAME),
        variants={
            name: _variant(staged, name, value, work, checks[name].limit) for name, value in fingerprints.items()
        },
        prepared_with=_tools(),
        prompts=spec.prompts,
    )


def _int8_warning(has_fp32: bool) -> str:
    here = "here the embedder will serve fp32 instead" if has_fp32 else "here the embedder will not serve it"
    return (
        "warning: this CPU does not compute int8 right (without VNNI its integer sums saturate). int8 is published "
        f"all the same, as it is right on other CPUs; {here}"
    )


def _variant(staged: Path, precision: Precision, name: str, work: Plan, min_cosine: float) -> Variant:
    files = sorted(path for path in (staged / precision).iterdir() if path.is_file())
    return Variant(
        graph=f"{precision}/model.onnx",
        fingerprint=name,
        recipe=work.recipe.name(precision),
        min_cosine=min_cosine,
        files={str(path.relative_to(staged)): record_of(path) for path in files},
    )


def _source_hashes(folder: Path, work: Plan) -> dict[str, str]:
    names = {CONFIG, MODULES, SENTENCE_CONFIG, PROMPTS_CONFIG, TOKENIZER_CONFIG, TOKENIZER}
    names |= {str(path.relative_to(folder)) for path in work.recipe.weights_files}
    names |= {str(path.relative_to(folder)) for path in folder.glob("*_Pooling/config.json")}
    return {name: sha256_of(folder / name) for name in sorted(names) if (folder / name).is_file()}


def _tools() -> dict[str, str]:
    tools = ("numpy", "onnx", "onnxruntime", "safetensors", "tokenizers")
    return {"python": platform.python_version()} | {tool: version(tool) for tool in tools}
