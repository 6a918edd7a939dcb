"""When the keyword index reports its positions to the store."""

from collections.abc import Mapping
from concurrent.futures import Future

from tandem_gateway.adapters.sqlite.lexical.positions import Positions, Reports
from tandem_gateway.errors import Overloaded, StorageUnavailable


class Recorded:
    """Records reports; each is written once ``written`` is set."""

    def __init__(self) -> None:
        self.positions: list[dict[int, int]] = []
        self.refuse = False
        self.written: Future[int] = Future()

    def record(self, positions: Mapping[int, int]) -> Future[int]:
        if self.refuse:
            raise Overloaded("too many writes")
        self.positions.append(dict(positions))
        self.written = Future()
        return self.written


def report_if_due(reports: Reports, positions: Mapping[int, int], now: float) -> None:
    if reports.due(positions, now):
        reports.report(positions, now)


def test_a_new_collection_is_reported_at_once_and_a_change_after_a_minute():
    recorded = Recorded()
    reports = Reports(recorded.record)
    for now, positions in ((0.0, {1: 5}), (0.1, {1: 5}), (1.0, {1: 6}), (2.0, {1: 6, 2: 7}), (61.0, {1: 9, 2: 7})):
        report_if_due(reports, positions, now)
        recorded.written.set_result(0) if not recorded.written.done() else None
    assert recorded.positions == [{1: 5}, {1: 6, 2: 7}]
    report_if_due(reports, {1: 9, 2: 7}, 62.0)
    recorded.written.set_result(0)
    assert recorded.positions[2:] == [{1: 9}]
    report_if_due(reports, {1: 9, 2: 7}, 200.0)
    assert len(recorded.positions) == 3


def test_only_one_report_is_under_way():
    recorded = Recorded()
    reports = Reports(recorded.record)
    report_if_due(reports, {1: 5}, 0.0)
    report_if_due(reports, {1: 6, 2: 6}, 100.0)
    assert recorded.positions == [{1: 5}]
    recorded.written.set_result(0)
    report_if_due(reports, {1: 6, 2: 6}, 100.0)
    assert recorded.positions == [{1: 5}, {1: 6, 2: 6}]


def test_a_failed_report_is_repeated_after_a_pause():
    recorded = Recorded()
    reports = Reports(recorded.record)
    report_if_due(reports, {1: 5}, 0.0)
    recorded.written.set_exception(StorageUnavailable("the disk is full"))
    for now in (1.0, 2.0, 5.9):
        report_if_due(reports, {1: 5}, now)
    assert len(recorded.positions) == 1
    report_if_due(reports, {1: 5}, 6.0)
    assert recorded.positions == [{1: 5}, {1: 5}]

    recorded.written.set_result(0)
    recorded.refuse = True
    report_if_due(reports, {1: 5, 2: 1}, 7.0)
    recorded.refuse = False
    report_if_due(reports, {1: 5, 2: 1}, 8.0)
    assert len(recorded.positions) == 2
    report_if_due(reports, {1: 5, 2: 1}, 12.0)
    assert recorded.positions[2:] == [{2: 1}]


def test_an_index_without_a_record_reports_nothing():
    assert not Reports(None).due({1: 5}, 0.0)


def test_positions_in_memory_are_unsaved_until_they_are_saved():
    positions = Positions({1: 3})
    positions.passed(1, 5)
    positions.passed(2, 5)
    assert (positions.of(1), positions.of(2), positions.of(3)) == (5, 5, 0)
    assert positions.unsaved([1]) == [(1, 5)]
    positions.saved(1, 5)
    assert positions.unsaved([1]) == []
    positions.keep_only({1})
    assert positions.all() == {1: 5}
