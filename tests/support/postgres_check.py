"""What holds in every store on PostgreSQL after every commit; no port tells it."""

from typing import Final

from tandem_gateway.adapters.postgres.connection import connect

# Each statement finds the rows that break a rule.
_RULES: Final = {
    "the collection's number of live documents": (
        "SELECT c.name, c.live FROM collections c WHERE c.live <> (SELECT count(*) FROM documents d "
        "WHERE d.collection_id = c.collection_id AND d.live)"
    ),
    "the collection's number of pending documents": (
        "SELECT c.name, c.pending FROM collections c WHERE c.pending <> (SELECT count(*) FROM documents d "
        "WHERE d.collection_id = c.collection_id AND NOT d.live)"
    ),
    "a document's number tells its collection": (
        "SELECT document_id FROM documents WHERE document_id >> 40 <> collection_id"
    ),
    "a document has passages, numbered from 0": (
        "SELECT d.document_id FROM documents d WHERE (SELECT array_agg(p.ordinal ORDER BY p.ordinal) FROM passages p "
        "WHERE p.document_id = d.document_id) IS DISTINCT FROM (SELECT array_agg(n ORDER BY n) FROM generate_series(0, "
        "(SELECT count(*)::integer - 1 FROM passages p WHERE p.document_id = d.document_id)) n)"
    ),
    "a passage belongs to a document": (
        "SELECT passage_id FROM passages p WHERE NOT EXISTS (SELECT 1 FROM documents d "
        "WHERE d.document_id = p.document_id)"
    ),
    "no passage has a number that was not given": (
        "SELECT passage_id FROM passages WHERE passage_id > (SELECT last_passage FROM store)"
    ),
    "no passage that was removed is there": "SELECT passage_id FROM removals JOIN passages USING (passage_id)",
    "a passage waits if and only if its document is pending and it has no vector in the serving space": (
        "SELECT p.passage_id FROM passages p JOIN documents d USING (document_id) JOIN spaces s "
        "ON s.collection_id = d.collection_id AND s.state = 'serving' WHERE (NOT d.live AND NOT EXISTS (SELECT 1 FROM "
        "vectors v WHERE v.passage_id = p.passage_id AND v.space_id = s.space_id)) <> EXISTS (SELECT 1 FROM pending w "
        "WHERE w.passage_id = p.passage_id AND w.document_id = p.document_id AND w.ordinal = p.ordinal)"
    ),
    "what waits is a passage": (
        "SELECT passage_id FROM pending w WHERE NOT EXISTS (SELECT 1 FROM passages p WHERE p.passage_id = w.passage_id)"
    ),
    "a live document has a numbered vector in the serving space for each passage": (
        "SELECT p.passage_id FROM passages p JOIN documents d USING (document_id) JOIN spaces s "
        "ON s.collection_id = d.collection_id AND s.state = 'serving' WHERE d.live AND NOT EXISTS (SELECT 1 "
        "FROM vectors v "
        "WHERE v.passage_id = p.passage_id AND v.space_id = s.space_id AND v.change IS NOT NULL)"
    ),
    "a vector belongs to a passage and a space": (
        "SELECT v.passage_id FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM passages p WHERE p.passage_id = "
        "v.passage_id) "
        "OR NOT EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = v.space_id)"
    ),
    "the vector of a pending document has no number": (
        "SELECT v.passage_id FROM vectors v JOIN passages USING (passage_id) JOIN documents d USING (document_id) "
        "WHERE v.change IS NOT NULL AND NOT d.live"
    ),
    "a vector has the length of its space": (
        "SELECT v.passage_id FROM vectors v JOIN spaces s USING (space_id) WHERE octet_length(v.vector) <> 4 * s.dim"
    ),
    "no number of a change is given twice": (
        "SELECT change FROM (SELECT change FROM vectors WHERE change IS NOT NULL UNION ALL SELECT change FROM "
        "removals) x "
        "GROUP BY change HAVING count(*) > 1"
    ),
    "no number of a change was not given": (
        "SELECT change FROM (SELECT change FROM vectors UNION ALL SELECT change FROM removals) x "
        "WHERE change > (SELECT last_change FROM store)"
    ),
    "a space tells its last change": (
        "SELECT s.space_id FROM spaces s WHERE s.state <> 'retired' AND s.last_change < greatest((SELECT max(v.change) "
        "FROM vectors v WHERE v.space_id = s.space_id), (SELECT max(r.change) FROM removals r "
        "WHERE r.collection_id = s.collection_id))"
    ),
    "a collection has one space that it serves from": (
        "SELECT c.name FROM collections c WHERE NOT c.removed AND (SELECT count(*) FROM spaces s "
        "WHERE s.collection_id = c.collection_id AND s.state = 'serving') <> 1"
    ),
    "a job waits for a version that is pending": (
        "SELECT w.job_id FROM waiting w WHERE NOT EXISTS (SELECT 1 FROM documents d WHERE d.document_id = "
        "w.document_id "
        "AND NOT d.live)"
    ),
    "a pending version has a job that waits": (
        "SELECT d.document_id FROM documents d WHERE NOT d.live AND NOT EXISTS (SELECT 1 FROM waiting w "
        "WHERE w.document_id = d.document_id)"
    ),
    "a job's documents are processed or wait": (
        "SELECT j.job_id, j.total, j.processed FROM jobs j WHERE j.total - j.processed <> (SELECT "
        "coalesce(sum(w.documents), "
        "0) FROM waiting w WHERE w.job_id = j.job_id) OR (j.total = j.processed) <> (j.finished_at IS NOT NULL)"
    ),
    "a kept failed version has no later one": (
        "SELECT f.document_id FROM failed_documents f JOIN documents d ON d.collection_id = f.collection_id "
        "AND d.doc_id = f.doc_id AND NOT d.live"
    ),
}


def find_damage(url: str) -> list[str]:
    """Return what is wrong in a store: the rule, and the first row that breaks it."""
    with connect(url, prepared=False) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = {rule: connection.execute(statement).fetchone() for rule, statement in _RULES.items()}
    return [f"{rule}: {row}" for rule, row in found.items() if row is not None]
