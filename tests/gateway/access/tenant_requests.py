"""Random requests of tenants and of others who write, as strategies of hypothesis."""

from typing import Any, Final

from hypothesis import strategies as st

from tests.gateway.access.tenants import FOREIGN, PREFIX, Request, call, quoted

FORM: Final = (
    '--b\r\nContent-Disposition: form-data; name="collection"\r\n\r\n%c\r\n'
    '--b\r\nContent-Disposition: form-data; name="files"; filename="{name}.txt"\r\n\r\n{text}\r\n--b--\r\n'
)
DOC_IDS = st.sampled_from(["mat", "x", "x/1", "seed", f"{PREFIX}mat", f"{FOREIGN}mat", "ünï"])
TEXTS = st.sampled_from(["a cat on a mat", "a dog", "one\n\ntwo", "the seed", "cat cat cat", "rare zebra"])
OWN_METADATA = st.sampled_from([{}, {"page": 1}, {"page": 2, "title": "T"}, {"page": None}])
METADATA = st.one_of(
    OWN_METADATA, st.sampled_from([{"tenant": "a"}, {"tenant": "b"}, {"tenant": "a", "page": 1}, {"tenant": 1}])
)
SOURCES = st.sampled_from(["shelf", "web"])
FILTERS = st.sampled_from([{}, {"page": 1}, {"tenant": "b"}, {"$not": {"tenant": "a"}}, {"tenant": {"$exists": False}}])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    # With an id: random ones would come in another order in each collection.
    document: dict[str, Any] = {"text": draw(TEXTS), "metadata": draw(METADATA), "id": draw(DOC_IDS)}
    if draw(st.booleans()):
        document |= {"source": draw(SOURCES), "hash": draw(st.sampled_from("12"))}
    return document


@st.composite
def writes(draw: st.DrawFn) -> Request:
    """A request that may change documents, as every holder of the role ``ingest`` may send it."""
    base = "/v1/collections/%c"
    doc_id = draw(DOC_IDS)
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2 | 3:
            body: dict[str, Any] = {
                "collection": "%c",
                "documents": draw(st.lists(documents(), min_size=1, max_size=3)),
            }
            if draw(st.booleans()):
                body["on_error"] = "skip"
            if draw(st.integers(0, 2)) == 0:
                body["idempotency-key"] = draw(st.sampled_from(["k1-%c", "k2-%c"]))
            return "POST", "/v1/ingest", body
        case 4:
            return "DELETE", f"{base}/documents?id={quoted(doc_id)}", None
        case 5:
            return "POST", f"{base}/documents/delete", {"ids": draw(st.lists(DOC_IDS, min_size=1, max_size=3))}
        case 6:
            return "POST", f"{base}/documents/delete", {"filter": draw(FILTERS)}
        case 7:
            listed = draw(
                st.lists(st.tuples(DOC_IDS, st.sampled_from("12")), max_size=3, unique_by=lambda each: each[0])
            )
            entries = [{"id": each, "hash": given_hash} for each, given_hash in listed]
            return "PUT", f"{base}/sources/{draw(SOURCES)}", {"documents": entries}
        case 8:
            return "POST", "/v1/ingest/files", FORM.format(name="file", text=draw(TEXTS))
    change = draw(st.one_of(METADATA, st.just({"tenant": None})))
    return "PATCH", f"{base}/documents/{quoted(doc_id)}", {"metadata": change}


@st.composite
def reads(draw: st.DrawFn) -> Request:
    """A request that changes nothing."""
    base = "/v1/collections/%c"
    doc_id = draw(DOC_IDS)
    query = draw(st.sampled_from(["cat", "dog", "zebra", "the seed", '"cat cat"', "cat -dog", "-cat"]))
    options = draw(
        st.sampled_from([
            {}, {"filter": {"page": 1}}, {"filter": {"tenant": "b"}}, {"filter": {"$not": {"tenant": "a"}}},
            {"explain": True}, {"group_by": "page"}, {"offset": 1}, {"diversity": 0.5}, {"highlight": True},
            {"include": ["vector"]}, {"rerank": {"top_n": 20}},
        ])
    )  # fmt: skip
    mode = draw(st.sampled_from(["dense", "lexical", "hybrid", "auto"]))
    if mode != "dense":
        options = {name: value for name, value in options.items() if name not in ("offset", "group_by", "diversity")}
    search = {"query": query, "collection": "%c", "top_k": 50, "mode": mode, **options}
    match draw(st.integers(0, 15)):
        case 0 | 1 | 2:
            return "POST", "/v1/search", search
        case 3:
            return "POST", "/v1/search/batch", {"searches": [search, search | {"query": "words"}]}
        case 4 | 5:
            return "POST", "/v1/search/similar", {"document_id": doc_id, "collection": "%c", "top_k": 50}
        case 6:
            return "POST", f"{base}/facets", {"fields": ["page", "tenant"], "filter": draw(FILTERS)}
        case 7:
            return "GET", f"{base}/documents?limit={draw(st.integers(1, 4))}", None
        case 8:
            return "POST", f"{base}/documents/get", {"ids": draw(st.lists(DOC_IDS, min_size=1, max_size=4))}
        case 9:
            return "GET", f"{base}/documents?id={quoted(doc_id)}", None
        case 10:
            return "GET", f"{base}/documents/{quoted(doc_id)}", None
        case 11:
            return "GET", base, None
        case 12:
            return "GET", f"/v1/jobs?collection=%c&limit={draw(st.integers(1, 3))}", None
        case 13:
            return "POST", f"{base}/web-search", {"query": query, "count": 9}
        case 14:
            return call("fetch", {"ids": [doc_id, "mat"], "collection": "%c"})
    return call("search", {"query": query, "collection": "%c", "mode": "dense"})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("a"), writes()),
        st.tuples(st.just("a"), reads()),
        st.tuples(st.just("b"), writes()),
        st.tuples(st.just("b"), st.one_of(writes(), reads())),
        st.tuples(st.just("writer"), writes()),
    ),
    min_size=3,
    max_size=12,
)
