"""Short, distinct texts, for documents that a search must find by their own words."""

import random


def _words(text: str) -> list[str]:
    return text.split()


_ADJECTIVES = _words("""
    amber ancient bitter brave broken calm clever copper cruel damp eager early faint frozen gentle golden
    grey hidden hollow humble icy jolly kind lazy lonely loud mild narrow noisy pale proud purple quick quiet
    rough rusty salty shy silent slow smooth sour steep stern sweet tall tiny velvet warm wild wooden young
""")
_NOUNS = _words("""
    acrobat anchor baker barrel beetle blanket bridge candle canyon carpet castle cello clock cobbler compass
    crane dancer desert dolphin drum engine falcon ferry fiddle forest fountain garden glacier goblet hammer
    harbour hedgehog island jacket kettle ladder lantern lemon library lizard magnet market meadow miner
    mirror mountain needle orchard otter painter parrot pebble pillow pirate planet pocket pumpkin rabbit
    ribbon river rocket saddle sailor scissors shepherd spider statue stove tailor temple thunder tower
    tractor trumpet tunnel turtle umbrella village violin volcano wagon walnut whale window wizard
""")
_VERBS = _words("""
    admires avoids borrows breaks buries carries catches chases climbs counts crosses draws drops feeds finds
    follows forgets guards hears hides kicks lifts loses marries mends misses moves paints pulls pushes reads
    rescues ridicules sells shakes steals surprises teaches throws visits warns washes watches
""")


def distinct_texts(count: int, seed: int = 0) -> list[str]:
    """Return distinct sentences; the same seed gives the same sentences."""
    draw = random.Random(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        first, second = draw.sample(_NOUNS, 2)
        texts[
            f"The {draw.choice(_ADJECTIVES)} {first} {draw.choice(_VERBS)} the {draw.choice(_ADJECTIVES)} {second}."
        ] = None
    return list(texts)
