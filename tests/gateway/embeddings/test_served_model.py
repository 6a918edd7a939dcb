"""The model that the embedders serve, and its names."""

import pytest

from tandem_gateway.errors import EmbedderUnavailable, NotFound
from tandem_gateway.records.embedders import PoolState, ReplicaState, ReplicaStatus, ServedModel
from tandem_gateway.use_cases.served_model import check_name, names_of, required, served_model

OLD = ServedModel("1" * 32, "org/old", 8)
NEW = ServedModel("2" * 32, "org/new", 8)


def pool(*replicas: tuple[ReplicaStatus, ServedModel | None]) -> PoolState:
    return PoolState(
        "stable", [ReplicaState(f"e{n}", status, 0, served) for n, (status, served) in enumerate(replicas)]
    )


def test_most_replicas_in_rotation_decide():
    assert served_model(pool(("serving", OLD), ("serving", NEW), ("serving", NEW))) == NEW
    assert served_model(pool(("serving", OLD), ("ejected", NEW), ("draining", NEW))) == OLD
    assert served_model(pool(("serving", None), ("ejected", NEW))) == NEW
    assert served_model(pool(("serving", None))) is None
    assert served_model(pool()) is None


def test_a_model_that_is_not_known_is_an_error_to_wait_for():
    assert required(NEW) == NEW
    for unknown in (None, ServedModel("3" * 32)):
        with pytest.raises(EmbedderUnavailable):
            required(unknown)


def test_its_names_are_its_own_the_last_part_of_it_and_the_aliases():
    assert names_of("org/new", ("gpt", "new")) == ["org/new", "new", "gpt"]
    assert names_of("new", ()) == ["new"]


@pytest.mark.parametrize("name", [None, "", "org/new", "new", "gpt", "new:latest"])
def test_a_strict_check_knows_the_names(name: str | None):
    check_name(name, "org/new", ("gpt",), strict=True)


def test_only_a_strict_check_refuses_other_names():
    check_name("other", "org/new", (), strict=False)
    with pytest.raises(NotFound, match="the model is org/new") as refused:
        check_name("other", "org/new", (), strict=True)
    assert refused.value.param == "model"
