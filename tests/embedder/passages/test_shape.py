"""The shape of a request's passages."""

import pytest

from tandem_contract.embed import Chunking
from tandem_embedder.errors import InvalidChunking
from tandem_embedder.passages.shape import PassageShape, shape_of


@pytest.mark.parametrize(
    ("chunking", "overhead", "shape"),
    [
        (Chunking(), 2, PassageShape(254, 25, "text")),
        (Chunking(format="markdown"), 5, PassageShape(251, 25, "markdown")),
        (Chunking(max_tokens=32), 2, PassageShape(30, 3, "text")),
        (Chunking(max_tokens=256), 2, PassageShape(254, 25, "text")),
        (Chunking(max_tokens=100, overlap_tokens=0), 2, PassageShape(98, 0, "text")),
        (Chunking(max_tokens=100, overlap_tokens=50), 2, PassageShape(98, 49, "text")),
        (Chunking(max_tokens=32, overlap_tokens=16), 24, PassageShape(8, 4, "text")),
    ],
)
def test_the_shape_excludes_what_the_embedder_adds(chunking: Chunking, overhead: int, shape: PassageShape):
    assert shape_of(chunking, 256, overhead) == shape


@pytest.mark.parametrize(
    ("chunking", "overhead", "param", "words"),
    [
        (Chunking(max_tokens=31), 2, "chunking.max_tokens", "from 32 to the model's limit of 256"),
        (Chunking(max_tokens=257), 2, "chunking.max_tokens", "from 32 to the model's limit of 256"),
        (Chunking(max_tokens=-1), 2, "chunking.max_tokens", "from 32"),
        (Chunking(overlap_tokens=-1), 2, "chunking.overlap_tokens", "from 0 to 128"),
        (Chunking(overlap_tokens=129), 2, "chunking.overlap_tokens", "from 0 to 128"),
        (Chunking(max_tokens=64, overlap_tokens=33), 2, "chunking.overlap_tokens", "from 0 to 32"),
        (Chunking(max_tokens=32), 25, "chunking.max_tokens", "at least 33 are needed"),
    ],
)
def test_a_field_out_of_its_range_is_refused_by_name_with_the_limit(
    chunking: Chunking, overhead: int, param: str, words: str
):
    with pytest.raises(InvalidChunking, match=words) as refused:
        shape_of(chunking, 256, overhead)
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")
