"""Golden cases for those who watch and operate: jobs, shares of traffic, and the states of a gateway."""

from collections.abc import Iterator

from tests.gateway.http.golden_case import (
    BEARER,
    IN_BOOKS,
    INGEST,
    JOB,
    JOBS,
    JSON,
    SEARCH,
    TOKEN,
    TRAFFIC,
    Case,
    get,
    post,
    put,
)


def jobs() -> Iterator[tuple[str, Case]]:
    """The gateway ``serving`` has one job when these come."""
    for query in (
        "status=completed&collection=books&limit=1", "status=running", "status=done", "collection=nowhere",
        "collection=../x", "limit=0", "limit=1001", "limit=x", "limit=", "cursor=x", "cursor=MHgxIGpvYg==",
        "cursor=MHgxLjAgam9iXzAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm", "cursor=%ff", "x=1", "limit=1&limit=2",
    ):  # fmt: skip
        yield f"{JOBS}?{query}", get(f"{JOBS}?{query}")
    for query in ("wait_seconds=60", "wait_seconds=0", "wait_seconds=61", "wait_seconds=1.5", "wait_seconds=-1", "x=1"):
        yield f"{JOBS}/{JOB}?{query}", get(f"{JOBS}/{JOB}?{query}")
    for query in (
        "limit=1000", "status=embedded", "status=failed", "status=running", "limit=0", "limit=1001", "limit=x",
        "cursor=x", "cursor=MSB4", "cursor=%ff", "cursor=MSBqb2JfMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "x=1", "status=&limit=1",
    ):  # fmt: skip
        yield f"{JOBS}/{JOB}/documents?{query}", get(f"{JOBS}/{JOB}/documents?{query}")
    for job_id in ("x", "job_0123456789abcdef0123456789abcdef"):
        yield f"documents of {job_id}", get(f"{JOBS}/{job_id}/documents")
        yield f"cancel {job_id}", get(f"{JOBS}/{job_id}/cancel", method="POST")
        yield f"retry {job_id}", get(f"{JOBS}/{job_id}/retry", method="POST")
        yield f"events of {job_id}", get(f"{JOBS}/{job_id}/events")
    yield "events with a parameter", get(f"{JOBS}/{JOB}/events?since=1")


def operators() -> Iterator[tuple[str, Case]]:
    for name, headers in (
        ("no token", ()),
        ("an empty token", (("authorization", ""),)),
        ("another token", (("authorization", "Bearer wrong"),)),
        ("another scheme", (("authorization", f"Basic {TOKEN}"),)),
        ("bytes for a token", (("authorization", "Bearer \u00ff"),)),
    ):
        yield f"{TRAFFIC} with {name}", get(TRAFFIC, *headers)
        yield f"change of {TRAFFIC} with {name}", put({"canary_weight": 9}, *headers, JSON)
        yield f"bad change of {TRAFFIC} with {name}", put(b"{", *headers, JSON)
        yield f"DELETE {TRAFFIC} with {name}", get(TRAFFIC, *headers, method="DELETE")
    yield f"{TRAFFIC} with a small bearer", get(TRAFFIC, ("authorization", f"bearer {TOKEN}"))
    for name, body in (
        ("a share", {"canary_weight": 7, "shadow_percent": 3}),
        ("a share over 100", {"canary_weight": 101}),
        ("a share that is none", {"canary_weight": "5"}),
        ("no share", {}),
        ("an unknown field", {"canary_weight": 5, "x": 1}),
        ("nothing", b""),
        ("no JSON", b"{"),
        ("a list", b"[]"),
    ):
        yield f"change of {TRAFFIC} to {name}", put(body, BEARER, JSON)
    yield f"change of {TRAFFIC} without a type", put({"canary_weight": 5}, BEARER)
    for method in ("GET", "PUT", "HEAD", "POST"):
        yield f"{method} {TRAFFIC} that is off", Case("off", method, TRAFFIC, (BEARER, JSON), b"{}")


def states() -> Iterator[tuple[str, Case]]:
    """The replies of a gateway that starts, stops or has a broken store."""
    for gateway in ("starting", "draining"):
        for path in (
            "/healthz",
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/collections",
            f"{IN_BOOKS}/a",
            f"/v1/jobs/{JOB}",
        ):
            yield f"{path} while {gateway}", get(path, gateway=gateway)
        yield f"HEAD /readyz while {gateway}", get("/readyz", gateway=gateway, method="HEAD")
    for path in ("/healthz", "/livez", "/readyz", "/metrics", "/v1/collections"):
        yield f"{path} after a failed start", get(path, gateway="failed")
    for target in (SEARCH, INGEST):
        yield f"{target} while starting", post(target, b'{"query": "x"}', gateway="starting")
        yield f"{target} without JSON while starting", post(target, b"{", gateway="starting")
        yield f"{target} without a type while starting", post(target, b"{}", ("accept", "*/*"), gateway="starting")
    for kind in ("corrupt", "unavailable", "late", "overloaded", "unexpected"):
        yield f"a document of a store that is {kind}", get(f"{IN_BOOKS}/{kind}", gateway="failing")
        yield (
            f"HEAD of a document of a store that is {kind}",
            get(f"{IN_BOOKS}/{kind}", gateway="failing", method="HEAD"),
        )
