"""Quality of the engines on a data set with judged queries, and on scripts without spaces."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway_bench.keyword.engine import Engine
from gateway_bench.keyword.measurements import Table
from gateway_bench.keyword.worker import maker
from gateway_bench.keyword.zipf import Row
from gateway_bench.retrieval.datasets import Dataset
from gateway_bench.retrieval.scores import RANKS, score

_TOP: Final = 10
_REMOVED_EVERY: Final = 3
SCRIPTS: Final = (
    ("数据库", "我们在数据库中保存文档并建立全文索引。"),
    ("東京", "東京都庁は新宿区にあります。"),
    ("문서", "데이터베이스에서 문서를 검색합니다."),
    ("Python", "请使用Python编程"),
    ("ข้าวผัด", "ฉันชอบกินข้าวผัด"),
    ("อากาศ", "วันนี้อากาศดีมาก"),
    ("ບ້ານ", "ຂ້ອຍຢູ່ບ້ານ"),
    ("οδός", "ΟΔΟΣ ΑΘΗΝΩΝ"),
    ("رسالة", "مُحَمَّدٌ يَكْتُبُ رِسَالَةً"),
    ("C#", "C# is a programming language"),
    ("C++", "C++ is a programming language"),
    ("SKU-48291", "SKU-48291 stainless steel water bottle"),
    ("🎉", "party 🎉🎂🎈"),
)
"""(query, the document that it must find first)."""


def quality(table: Table, engines: Sequence[str], dataset: Dataset, folder: Path) -> None:
    """Score the engines, and compare rankings after removals with those of an index without the removed documents."""
    numbers = {str(document.id): number for number, document in enumerate(dataset.documents)}
    names = list(numbers)
    rows = [Row(number, 0, document.text) for number, document in enumerate(dataset.documents)]
    gone = [row for row in rows if row.row_id % _REMOVED_EVERY == 0]
    kept = [row for row in rows if row.row_id % _REMOVED_EVERY]
    for name in engines:
        engine, fresh = _made(name, folder / f"{name}-judged"), _made(name, folder / f"{name}-fresh")
        engine.add(rows)
        rankings = {
            query: [names[row] for row in engine.search(text, RANKS)] for query, text in dataset.queries.items()
        }
        found = score(dataset.judgements, rankings)
        table.setdefault(f"nDCG@10, {dataset.name}", {})[name] = f"{found.ndcg_10:.4f}"
        table.setdefault(f"recall@100, {dataset.name}", {})[name] = f"{found.recall_100:.4f}"
        engine.remove([row.row_id for row in gone])
        fresh.add(kept)
        texts = list(dataset.queries.values())
        differ = sum(engine.search(text, _TOP) != fresh.search(text, _TOP) for text in texts)
        label = f"first {_TOP} hits after a third was removed: queries that differ from a new index"
        table.setdefault(label, {})[name] = f"{differ} of {len(texts)}"
        engine.close()
        fresh.close()


def scripts(table: Table, engines: Sequence[str], folder: Path) -> None:
    """Count the queries of ``SCRIPTS`` that find their document first."""
    for name in engines:
        engine = _made(name, folder / f"{name}-scripts")
        engine.add([Row(number, 0, text) for number, (_, text) in enumerate(SCRIPTS)])
        right = sum(engine.search(query, 1) == [number] for number, (query, _) in enumerate(SCRIPTS))
        table.setdefault("Chinese, Japanese, Korean, Thai, Lao, codes: right", {})[name] = f"{right} of {len(SCRIPTS)}"
        engine.close()


def _made(name: str, folder: Path) -> Engine:
    folder.mkdir()
    engine: Engine = maker(name)(folder)
    return engine
