"""``python -m tests.chaos.storm``: kills a gateway again and again, and checks that it keeps what it acknowledged.

Each round has clients that write and read, an end of the gateway at a random moment, a restart, and a check of
everything that was acknowledged. Some rounds upgrade a store of the previous schema instead. The embedder is a stub in
this process. The exit status is 1 if the gateway broke a promise; the data directory and the log are kept then.

The seed repeats the choices, but not the moments: threads and processes run as fast as the machine lets them.
"""

import argparse
import collections
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tandem_tools.client import ApiError
from tandem_tools.process import ProcessFailed
from tests.support.http_embedder import HttpFakeEmbedder
from tests.support.storm.model import Violation
from tests.support.storm.rounds import KINDS, Storm, UpgradeRound

ROUNDS = 40


def storm(folder: Path, rounds: int, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> collections.Counter[str]:
    """Run the rounds and print a line about each.

    Args:
        folder: for the data and the log.
        rounds: number of rounds.
        seed: of all choices.
        kinds: names of the rounds to choose from; see ``KINDS``.

    Returns:
        Counts of the whole run.

    Raises:
        Violation: the gateway broke a promise; the message has the round.
    """
    counts: collections.Counter[str] = collections.Counter()
    draw = random.Random(seed)
    with HttpFakeEmbedder() as embedder, Storm(folder, embedder.url, counts) as running:
        for number in range(1, rounds + 1):
            (kind,) = draw.choices(kinds, [KINDS[kind] for kind in kinds])
            started = time.monotonic()
            of_round = random.Random(f"{seed} {number}")
            try:
                if kind == "upgrade":
                    UpgradeRound(folder / "upgrade", embedder.url, counts).run(of_round)
                else:
                    running.run(kind, of_round)
            except (Violation, ProcessFailed, ApiError, AssertionError) as error:
                raise Violation(f"round {number} ({kind}): {error}") from error
            counts["rounds"] += 1
            seconds = time.monotonic() - started
            print(
                f"round {number:3} of {rounds}  {kind:14} {running.documents:5} documents  "
                f"{counts['acknowledged writes']:6} writes acknowledged, {counts['unanswered writes']:3} unanswered  "
                f"{seconds:5.1f} s",
                flush=True,
            )
        try:
            running.finish(random.Random(f"{seed} end"))
        except (Violation, ProcessFailed, ApiError, AssertionError) as error:
            raise Violation(f"the check at the end: {error}") from error
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.storm", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="number of rounds (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="seed of a former run; the default is a new one")
    parser.add_argument("--kind", choices=KINDS, action="append", help="run only rounds of this kind; may be repeated")
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="tandem-storm-"))
    print(f"seed {seed}, {options.rounds} rounds, in {folder}", flush=True)
    try:
        counts = storm(folder, options.rounds, seed, options.kind or tuple(KINDS))
    except Violation as violation:
        traceback.print_exception(violation.__cause__)
        print(f"VIOLATION with seed {seed}, {violation}\nThe data and the log are in {folder}.", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(", ".join(f"{count} {name}" for name, count in counts.items()) + ", 0 violations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
