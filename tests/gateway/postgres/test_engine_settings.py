"""A vector engine that cannot work is refused at the start, and not only when a collection needs it."""

import pytest

from tandem_gateway.composition import stores
from tandem_gateway.composition.engines import engine_names
from tandem_gateway.settings import Settings
from tandem_runtime.settings import SettingsError

STORE = "postgresql://db/tandem"


@pytest.mark.parametrize(("name", "url"), [("pgvector_url", STORE), ("milvus_url", "http://milvus:19530")])
def test_an_engine_needs_a_store_in_postgresql(name: str, url: str):
    with pytest.raises(ValueError, match=f"TANDEM_{name.upper()} needs TANDEM_STORE_URL"):
        Settings(**{name: url})
    assert engine_names(Settings(store_url=STORE, **{name: url})) == ("usearch", name.removesuffix("_url"))


def test_a_missing_package_of_an_engine_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stores, "find_spec", lambda package: None if package == "pymilvus" else object())
    settings = Settings(store_url=STORE, milvus_url="http://milvus:19530")
    with pytest.raises(SettingsError, match=r"TANDEM_MILVUS_URL: the package pymilvus is not installed; install"):
        stores.open_keys(settings)
