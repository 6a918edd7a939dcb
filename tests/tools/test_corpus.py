"""The sample corpus: enough documents with distinct names and texts, which an ingest accepts unchanged."""

import msgspec
import pytest

from tandem_contract.client_api import DocumentInput
from tandem_tools.corpus import Document, standard_library


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return standard_library()


def test_there_are_over_a_thousand_documents_with_names_and_texts_of_their_own(documents: list[Document]) -> None:
    assert len(documents) > 1000
    assert len({document.id for document in documents}) == len(documents)
    assert len({document.text for document in documents}) == len(documents)
    assert [document.id for document in documents] == sorted(document.id for document in documents)


def test_modules_classes_and_functions_are_there_in_python_and_in_c(documents: list[Document]) -> None:
    kinds = {document.id: document.metadata for document in documents}
    assert kinds["tempfile"] == {"module": "tempfile", "kind": "module"}
    assert kinds["tempfile.TemporaryDirectory"] == {"module": "tempfile", "kind": "class"}
    assert kinds["tempfile.NamedTemporaryFile"] == {"module": "tempfile", "kind": "function"}
    assert kinds["math.sqrt"] == {"module": "math", "kind": "function"}
    assert not [name for name in kinds if name.startswith(("test.", "idlelib", "antigravity"))]


def test_a_document_begins_with_its_name_and_is_a_document_of_an_ingest(documents: list[Document]) -> None:
    for document in documents:
        assert document.text.startswith(f"{document.id}\n")
        assert 20 <= len(document.text) - len(document.id) - 1 <= 1200
    decoded = msgspec.json.decode(msgspec.json.encode(documents), type=list[DocumentInput])
    assert decoded == [DocumentInput(document.text, document.id, document.metadata) for document in documents]
    assert msgspec.json.encode(Document("a", "b")) == b'{"id":"a","text":"b"}'
