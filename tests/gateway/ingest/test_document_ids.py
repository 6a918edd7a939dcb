"""Ids are random, have one format, and are unique, whichever thread generates them."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tandem_gateway.use_cases.document_ids import new_document_id


def test_ids_are_hexadecimal_and_differ_in_all_threads() -> None:
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda _: new_document_id(), range(5_000)))
    assert len(set(ids)) == 5_000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_many_ids_take_few_system_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: calls.append(size) or urandom(size))
    for _ in range(10_000):
        new_document_id()
    assert len(calls) <= 41


def test_a_forked_process_makes_other_ids() -> None:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.write(writer, new_document_id().encode())
        os._exit(0)
    os.waitpid(process, 0)
    assert os.read(reader, 100).decode() != new_document_id()
    os.close(reader)
    os.close(writer)
