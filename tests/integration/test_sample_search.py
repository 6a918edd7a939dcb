"""Queries that use other words than the documents: the expected document is among the first three."""

from collections.abc import Iterator

import pytest

from tests.support.stack import Client, Stack

COLLECTION = "sample"

DOCUMENTS = {
    "sourdough": "Feed the sourdough starter with flour and water twice a day until it bubbles.",
    "espresso": "A good espresso needs nine bars of pressure and finely ground beans.",
    "risotto": "Stir the rice with warm broth, a ladle at a time, until it is creamy.",
    "knife": "Sharpen a kitchen knife on a wet stone at an angle of fifteen degrees.",
    "freezing": "Soup keeps in the freezer for three months; leave room for it to expand.",
    "marathon": "Most runners of a marathon slow down after thirty kilometres, when glycogen is used up.",
    "swimming": "In freestyle the swimmer breathes to the side, every third stroke.",
    "chess": "In chess, castling moves the king two squares towards the rook.",
    "offside": "A football player is offside if nearer to the goal line than ball and second-last opponent.",
    "tennis": "A tennis set is won with six games and a lead of two, or in a tie-break.",
    "glacier": "Glaciers carve valleys in the shape of a U as the ice slides slowly downhill.",
    "volcano": "Volcanoes erupt when molten rock rises through cracks in the Earth's crust.",
    "tides": "The tides follow the pull of the moon and, to a lesser degree, of the sun.",
    "rainbow": "Sunlight refracted in drops of water makes a rainbow.",
    "thunder": "Count the seconds between lightning and thunder to guess how far the storm is.",
    "bees": "Honey bees tell each other where nectar is by a waggle dance.",
    "salmon": "Salmon swim up the river where they hatched in order to spawn.",
    "hibernation": "Bears spend the winter asleep in a den and live on their fat.",
    "octopus": "An octopus has three hearts and can change the colour of its skin.",
    "migration": "Arctic terns fly from pole to pole and back every year.",
    "vaccine": "A vaccine teaches the immune system to recognise a germ before it makes one ill.",
    "antibiotics": "Antibiotics kill bacteria but do nothing against viruses such as influenza.",
    "sleep": "Adults need seven to nine hours of sleep a night to stay healthy.",
    "fracture": "A broken bone is put in a plaster cast so that it grows together straight.",
    "allergy": "Pollen makes the eyes of people with hay fever itch and their nose run.",
    "mortgage": "With a fixed-rate mortgage the monthly payment for the house stays the same.",
    "inflation": "When prices rise faster than wages, households can buy less with their money.",
    "tax": "The income tax return must be handed in by the end of July.",
    "insurance": "Liability insurance pays if you damage the property of somebody else.",
    "stocks": "Spreading savings over many companies' shares lowers the risk of losing them.",
    "password": "Use a password manager and never the same password on two sites.",
    "backup": "Copy important files to a second disk, and keep one copy in another place.",
    "recursion": "A recursive function calls itself with a smaller problem until it reaches the base case.",
    "deadlock": "Two threads that each wait for a lock the other holds never go on.",
    "index": "A database finds rows faster when the column searched for has an index.",
    "piano": "Piano tuners tighten and loosen strings until the intervals sound pure.",
    "impressionism": "Impressionist painters such as Monet caught the changing light with short strokes.",
    "sonnet": "A sonnet has fourteen lines and, in Shakespeare's form, ends with a couplet.",
    "pyramids": "The pyramids of Giza were built as tombs for the pharaohs of Egypt.",
    "printing": "Gutenberg's movable type made books cheap and spread knowledge over Europe.",
    "bicycle": "Oil the bicycle chain after every ride in the rain to keep it from rusting.",
    "tyre": "Check the pressure of the car's tyres once a month when they are cold.",
}

EXPECTED = [
    ("how do I make bread at home with natural yeast", "sourdough"),
    ("brewing strong Italian coffee", "espresso"),
    ("my blade is dull", "knife"),
    ("how long can I store leftovers on ice", "freezing"),
    ("why do athletes hit the wall in a long race", "marathon"),
    ("special move with the king and the tower", "chess"),
    ("referee's flag because the striker stood too close to the goal", "offside"),
    ("what makes lava come out of mountains", "volcano"),
    ("why does the sea level go up and down each day", "tides"),
    ("colours in the sky after a shower", "rainbow"),
    ("how do insects communicate the location of flowers", "bees"),
    ("animals that sleep through the cold season", "hibernation"),
    ("sea creature with camouflage", "octopus"),
    ("longest journey of a bird", "migration"),
    ("how does immunisation protect against disease", "vaccine"),
    ("medicine does not help against a cold virus", "antibiotics"),
    ("how much rest does a grown-up need", "sleep"),
    ("sneezing in spring", "allergy"),
    ("home loan with constant instalments", "mortgage"),
    ("cost of living goes up", "inflation"),
    ("deadline for declaring what I earned", "tax"),
    ("diversify my investments", "stocks"),
    ("protect my online accounts", "password"),
    ("what if my hard drive dies", "backup"),
    ("a program that invokes itself", "recursion"),
    ("concurrent processes block each other for ever", "deadlock"),
    ("speed up slow SQL queries", "index"),
    ("French art of the nineteenth century", "impressionism"),
    ("structure of a poem", "sonnet"),
    ("burial places of ancient kings", "pyramids"),
    ("the invention that made mass copies of text possible", "printing"),
    ("maintenance of a two-wheeler", "bicycle"),
]


@pytest.fixture(scope="module")
def sample(stack: Stack) -> Iterator[Client]:
    stack.client.ingest_and_wait([{"id": key, "text": text} for key, text in DOCUMENTS.items()], COLLECTION)
    yield stack.client
    assert stack.client.http.delete(f"/v1/collections/{COLLECTION}").json() == {"deleted": True}


@pytest.mark.parametrize(("query", "expected"), EXPECTED, ids=[expected for _, expected in EXPECTED])
def test_the_expected_document_is_in_the_top_three(sample: Client, query: str, expected: str) -> None:
    assert expected in sample.found(query, 3, COLLECTION)


def test_hits_are_in_descending_order_and_each_document_is_there_once(sample: Client) -> None:
    hits = sample.search("food and drink", 100, COLLECTION).results
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert sorted(hit.id for hit in hits) == sorted(DOCUMENTS)
    assert all(hit.text == DOCUMENTS[hit.id] for hit in hits)
