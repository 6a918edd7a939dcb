"""The fingerprint is the same for the same vectors, and different for any others."""

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from tandem_embedder.prepare.fingerprint import VectorDefinition, fingerprint

EXAMPLE = VectorDefinition(
    weights_sha256="a" * 64,
    tokenizer_sha256="b" * 64,
    architecture={"num_attention_heads": 12, "layer_norm_eps": 1e-12, "hidden_act": "gelu"},
    pooling="mean",
    max_seq_length=256,
    query_prompt="",
    document_prompt="",
    precision="int8",
    recipe="bert-int8/1",
)

definitions = st.builds(
    VectorDefinition,
    weights_sha256=st.text(max_size=4),
    tokenizer_sha256=st.text(max_size=4),
    architecture=st.dictionaries(st.sampled_from(["heads", "layers"]), st.integers(1, 3)),
    pooling=st.sampled_from(["mean", "cls"]),
    max_seq_length=st.integers(1, 4),
    query_prompt=st.text(max_size=3),
    document_prompt=st.text(max_size=3),
    precision=st.sampled_from(["fp32", "int8"]),
    recipe=st.sampled_from(["bert-int8/1", "bert-int8/2"]),
)


def test_the_fingerprint_is_unchanged() -> None:
    # If this changes, every existing index needs a rebuild. Raise a recipe's version instead.
    assert fingerprint(EXAMPLE) == "b9c46432fc0199266db2f295929113b4"


def test_every_field_counts() -> None:
    seen = {fingerprint(EXAMPLE)}
    for field in fields(EXAMPLE):
        value = getattr(EXAMPLE, field.name)
        other = {"heads": 1} if isinstance(value, dict) else value + (1 if isinstance(value, int) else "x")
        seen.add(fingerprint(replace(EXAMPLE, **{field.name: other})))
    assert len(seen) == len(fields(EXAMPLE)) + 1


@given(definitions, definitions)
def test_equal_means_equal(first: VectorDefinition, second: VectorDefinition) -> None:
    assert (fingerprint(first) == fingerprint(second)) == (first == second)


def test_the_order_of_the_architecture_does_not_count() -> None:
    turned = dict(reversed(list(EXAMPLE.architecture.items())))
    assert fingerprint(replace(EXAMPLE, architecture=turned)) == fingerprint(EXAMPLE)
