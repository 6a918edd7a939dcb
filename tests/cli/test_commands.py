"""What the commands print and how they end, with real gateways."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_cli import commands
from tandem_cli.help import EXAMPLES
from tandem_tools.process import free_port
from tests.cli.conftest import Done, Tandem
from tests.support.stack import Client, Stack

pytestmark = pytest.mark.slow

KEY = "a-key-of-the-tests-0123456789abcdef"


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.client.url


def assert_says(done: Done, status: int, said: str) -> None:
    """The command failed with one line on standard error, and printed no result."""
    assert (done.status, done.out) == (status, ""), done
    assert done.err.startswith("tandem: ")
    assert done.err.count("\n") == 1
    assert said in done.err


def test_a_search_prints_ranks_scores_and_passages(url: str, tandem: Tandem) -> None:
    done = tandem("search", "cat mat", "--url", url)
    assert (done.status, done.err) == (0, "")
    first, passage = done.out.splitlines()[:2]
    assert re.fullmatch(r"1\. [01]\.\d{3}  mat  \(dense 0\.\d{3}, lexical \d+\.\d{3}\)", first)
    assert passage == "   The cat sat on the mat."


@pytest.mark.parametrize("where", ["before", "after"])
def test_the_shared_options_may_stand_on_either_side_of_the_command(where: str, url: str, tandem: Tandem) -> None:
    shared, query = ["--json", "--url", url], ["search", "leaves", "-k", "1"]
    done = tandem(*(shared + query if where == "before" else query + shared))
    told = json.loads(done.out)
    assert [hit["id"] for hit in told["results"]] == ["tea"]
    assert told["results"][0]["highlights"] == [[10, 16]]


def test_the_gateway_and_the_key_may_come_from_the_environment(
    locked: Client, tandem: Tandem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TANDEM_URL", locked.url)
    assert_says(tandem("collections", "list"), 5, "401")
    monkeypatch.setenv("TANDEM_API_KEY", KEY)
    assert tandem("keys", "list").status == 0
    monkeypatch.delenv("TANDEM_API_KEY")
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("TANDEM_API_KEY_FILE", str(tmp_path / "key"))
    assert tandem("collections", "list").status == 0
    assert_says(tandem("collections", "list", "--api-key", "wrong"), 5, "401")


def test_no_hits_are_told_on_standard_error(url: str, tandem: Tandem) -> None:
    done = tandem("search", "zebra", "--mode", "lexical", "--url", url)
    assert (done.status, done.out, done.err) == (0, "", "no hits\n")


def test_statuses_of_failures(url: str, tandem: Tandem) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    assert_says(tandem("status", "--url", nobody), 4, "connect")
    assert_says(tandem("search", "x", "--url", nobody), 4, "start a gateway with `tandem dev`")
    assert_says(tandem("search", "x", "-c", "missing", "--url", url), 3, "404")
    assert_says(tandem("documents", "get", "missing", "--url", url), 3, "404")
    assert_says(tandem("jobs", "show", "job_missing", "--url", url), 3, "404")
    assert_says(tandem("search", "x", "--filter", '{"a": {"$no": 1}}', "--url", url), 2, "filter")
    assert_says(tandem("search", "x", "--filter", "no", "--url", url), 2, "--filter: JSON was expected")
    assert_says(tandem("search", "x", "--url", "ftp://host"), 2, "url")
    assert_says(tandem("jobs", "show", "", "--url", url), 2, "job_id")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["search"],
        ["search", "x", "--top-k", "0"],
        ["search", "x", "--mode", "best"],
        ["search", "x", "--no"],
        [],
    ],
)
def test_a_wrong_argument_has_status_2_and_prints_no_traceback(arguments: list[str], tandem: Tandem) -> None:
    done = tandem(*arguments)
    assert done.status == 2
    assert "Traceback" not in done.err


def test_a_reader_that_has_enough_ends_the_command_quietly(locked: Client, tandem: Tandem) -> None:
    """The gateway has no embedder: these texts would keep one busy for long."""
    remote = ["-c", "many", "--url", locked.url, "--api-key", KEY]
    rows = b"".join(b'{"id": "d%d", "text": "%s"}\n' % (number, b"long " * 2000) for number in range(50))
    assert tandem("ingest", "-", "--no-wait", *remote, stdin=rows).status == 0
    command = shlex.join([sys.executable, "-m", "tandem_cli", "documents", "list", "--limit", "0", "--json", *remote])
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -c 1"], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_streams_that_the_shell_has_closed_are_empty(url: str) -> None:
    tandem = shlex.join([sys.executable, "-m", "tandem_cli"])
    ingested = subprocess.run(
        f"{tandem} ingest - -c closed --url {url} <&-", shell=True, capture_output=True, text=True, check=False
    )
    assert (ingested.returncode, ingested.stdout, ingested.stderr) == (0, "0 documents accepted\n", "")
    failed = subprocess.run(
        f"{tandem} documents get none -c none --url {url} 2>&-", shell=True, capture_output=True, text=True, check=False
    )
    assert (failed.returncode, failed.stdout) == (3, "")


def test_documents_are_listed_shown_and_deleted(stack: Stack, url: str, tandem: Tandem) -> None:
    made = [
        {"id": f"d{number}", "text": f"Text {number}\nmore", "metadata": {"even": number % 2 == 0}}
        for number in range(5)
    ]
    stack.client.ingest_and_wait(made, "listed")
    shared = ["-c", "listed", "--url", url]
    listed = tandem("documents", "list", "--limit", "2", *shared)
    assert listed.out == "id\tembedded\tsource\ttext\nd0\tyes\t-\tText 0 more\nd1\tyes\t-\tText 1 more\n"
    every = json.loads(tandem("documents", "list", "--limit", "0", "--json", "--filter", '{"even": true}', *shared).out)
    assert [document["id"] for document in every["documents"]] == ["d0", "d2", "d4"]
    shown = tandem("documents", "get", "d1", *shared)
    assert "metadata.even  False" in shown.out
    assert shown.out.endswith("\nText 1\nmore\n")
    assert_says(tandem("documents", "delete", "d1", *shared), 2, "Say --yes")
    assert tandem("documents", "delete", "d1", "d3", "--yes", *shared).out == "2 documents deleted\n"
    assert tandem("documents", "delete", "--filter", '{"even": true}', "-y", *shared).out == "3 documents deleted\n"
    again = tandem("documents", "delete", "d1", "-y", *shared)
    assert (again.status, again.out) == (3, "0 documents deleted\n")
    assert_says(tandem("documents", "delete", "-y", *shared), 2, "either ids or --filter")


def test_a_hostile_document_moves_no_cursor_of_the_terminal(stack: Stack, url: str, tandem: Tandem) -> None:
    hostile = {"id": "hostile", "text": "a\x1b]0;title\x07\nb", "metadata": {"k\x1b[2J": "v\x1b[2J"}}
    stack.client.ingest_and_wait([hostile], collection="hostile")
    done = tandem("documents", "get", "hostile", "-c", "hostile", "--url", url)
    assert (done.status, "\x1b" in done.out) == (0, False)
    assert done.out.endswith("\na\\x1b]0;title\\x07\nb\n")
    tandem("collections", "delete", "hostile", "--yes", "--url", url)


def test_a_message_of_a_failure_moves_no_cursor(tandem: Tandem) -> None:
    assert_says(tandem("ingest", "a\x1b[2J\nb"), 2, "a\\x1b[2J b: no such file")


def test_collections_are_created_shown_and_deleted(url: str, tandem: Tandem) -> None:
    made = json.loads(
        tandem(
            "collections", "create", "german", "--language", "german", "--max-tokens", "64", "--json", "--url", url
        ).out
    )
    assert (made["language"], made["chunking"]["max_tokens"]) == ("german", 64)
    shown = tandem("collections", "show", "german", "--url", url).out
    assert re.search(r"^language +german$", shown, re.MULTILINE)
    assert re.search(r"^chunking +64 tokens, a tenth shared$", shown, re.MULTILINE)
    assert "german\t0\t0\t" in tandem("collections", "list", "--url", url).out
    assert tandem("collections", "delete", "german", "--yes", "--url", url).out == "deleted german\n"
    assert_says(tandem("collections", "show", "german", "--url", url), 3, "404")
    wrong = ["collections", "create", "german", "--no-chunking", "--max-tokens", "64", "--url", url]
    assert_says(tandem(*wrong), 2, "--no-chunking excludes")


def test_a_job_is_followed_and_a_cancelled_one_has_status_1(
    stack: Stack, url: str, locked: Client, tandem: Tandem
) -> None:
    job = stack.client.ingest_and_wait([{"id": "followed", "text": "a"}], "followed")
    done = tandem("jobs", "follow", job.job_id, "--url", url)
    assert (done.status, done.err) == (0, "")
    assert re.search(r"^documents +1 of 1 done$", done.out, re.MULTILINE)
    # Without an embedder nothing ends by itself.
    remote = ["--url", locked.url, "--api-key", KEY]
    waiting = tandem("ingest", "-", "--no-wait", "--json", *remote, stdin=b'{"text": "a"}')
    assert json.loads(waiting.out)["pending"] == 1
    job_id = json.loads(tandem("jobs", "list", "--json", "--limit", "1", *remote).out)["jobs"][0]["job_id"]
    assert "cancelled" in tandem("jobs", "cancel", job_id, *remote).out
    done = tandem("jobs", "follow", job_id, *remote)
    assert done.status == 1
    assert done.err == f"tandem: the job {job_id} is cancelled\n"


def test_keys_are_created_listed_and_revoked(locked: Client, tandem: Tandem) -> None:
    remote = ["--url", locked.url, "--api-key", KEY]
    options = ["--name", "web", "--role", "search", "--collections", "a*", "--collections", "b", "--expires-in", "1h"]
    made = tandem("keys", "create", *options, "--limit", "requests=5/minute", *remote)
    text = made.out.strip()
    assert (made.status, made.out.count("\n")) == (0, 1)
    assert text not in made.err
    (key,) = [k for k in json.loads(tandem("keys", "list", "--json", *remote).out)["keys"] if k["name"] == "web"]
    assert (key["role"], key["collections"], key["limits"]) == ("search", ["a*", "b"], ["requests=5/minute"])
    assert_says(tandem("keys", "list", "--url", locked.url, "--api-key", text), 5, "403")
    rotated = tandem("keys", "rotate", key["id"], *remote).out.strip()
    assert rotated != text
    assert tandem("keys", "revoke", key["id"], "--yes", *remote).out == f"revoked {key['id']} (web)\n"
    assert_says(tandem("collections", "list", "--url", locked.url, "--api-key", rotated), 5, "401")
    assert_says(tandem("keys", "create", *options[:-1], "soon", *remote), 2, "--expires-in: a duration")


def test_status_shows_embedders_and_queues(stack: Stack, url: str, tandem: Tandem) -> None:
    done = tandem("status", "--url", url)
    assert re.search(r"^status +ok$", done.out, re.MULTILINE)
    assert re.search(r"^queued queries +0$", done.out, re.MULTILINE)
    assert f"stable\t{stack.embedder_url.removeprefix('http://')}\tserving\t" in done.out
    told = json.loads(tandem("status", "--json", "--url", url).out)
    assert told["ready"]
    assert told["queues"]["pending_documents"] == 0
    assert [(embedder["pool"], embedder["status"]) for embedder in told["embedders"]] == [("stable", "serving")]


def test_status_leaves_out_what_the_key_may_not_see(locked: Client, tandem: Tandem) -> None:
    done = tandem("status", "--json", "--url", locked.url)
    told = json.loads(done.out)
    assert (done.status, told["health"]["document_count"]) == (0, None)
    assert told["embedders"][0]["fingerprint"] is None
    with_key = json.loads(tandem("status", "--json", "--url", locked.url, "--api-key", KEY).out)
    assert with_key["health"]["document_count"] is not None
    assert [embedder["address"] for embedder in with_key["embedders"]] == ["127.0.0.1:9"]


def test_eval_measures_each_mode_and_compares_collections(
    stack: Stack, url: str, tandem: Tandem, tmp_path: Path
) -> None:
    texts = {"mat": "The cat sat on the mat.", "tea": "Steep the leaves.", "sea": "The ship sails on the sea."}
    for name, left_out in (("judged", "none"), ("worse", "mat")):
        documents = [{"id": key, "text": text} for key, text in texts.items() if key != left_out]
        stack.client.ingest_and_wait(documents, name)
    log = tmp_path / "log.jsonl"
    log.write_text('{"query": "cat mat", "clicked": ["mat"]}\n{"query": "steep leaves", "clicked": ["tea"]}\n')
    shared = ["eval", str(log), "-c", "judged", "--url", url]
    told = json.loads(tandem(*shared, "--json").out)
    assert [(run["collection"], run["mode"]) for run in told["runs"]] == [
        ("judged", mode) for mode in ("dense", "lexical", "hybrid")
    ]
    assert all(value["mean"] == 1 for run in told["runs"] for value in run["metrics"].values())
    done = tandem(*shared, "--against", "worse", "--mode", "lexical")
    assert done.out == (
        "2 queries\n"
        "collection\tmode\tnDCG@10\trecall@100\tMRR@100\n"
        "judged\tlexical\t1.000 [1.000, 1.000]\t1.000 [1.000, 1.000]\t1.000 [1.000, 1.000]\n"
        "worse\tlexical\t0.500 [0.000, 1.000]\t0.500 [0.000, 1.000]\t0.500 [0.000, 1.000]\n"
        "\n"
        "worse − judged\tnDCG@10\trecall@100\tMRR@100\n"
        "lexical\t-0.500 [-1.000, +0.000]\t-0.500 [-1.000, +0.000]\t-0.500 [-1.000, +0.000]\n"
    )
    assert_says(tandem(*shared, "--against", "missing"), 3, "404")
    assert_says(tandem(*shared, "--mode", "best"), 2, "--mode: one of dense, lexical, hybrid")


def test_a_backup_is_restored_into_an_empty_directory_only(
    stack: Stack, copy: Path, tandem: Tandem, tmp_path: Path
) -> None:
    restored = tmp_path / "restored"
    assert_says(tandem("restore", str(tmp_path / "no"), "--data-dir", str(restored)), 2, "no such file")
    used = tandem("restore", str(copy), "--data-dir", str(stack.data_dir), "--replace")
    assert_says(used, 1, "a gateway uses")
    restored.mkdir()
    (restored / "old").write_text("x")
    (restored / "logs").mkdir()
    assert_says(tandem("restore", str(copy), "--data-dir", str(restored)), 2, "is not empty; --replace moves")
    assert tandem("restore", str(copy), "--data-dir", str(restored), "--replace").status == 0
    (aside,) = restored.glob("replaced-*")
    assert [path.name for path in aside.iterdir()] == ["old"]
    assert (restored / "tandem.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_restore_that_fails_moves_nothing(copy: Path, tandem: Tandem, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    assert tandem("restore", str(copy), "--data-dir", str(restored)).status == 0
    before = sorted(path.name for path in restored.iterdir())
    (tmp_path / "damaged").write_bytes(copy.read_bytes()[:4096])
    assert tandem("restore", str(tmp_path / "damaged"), "--data-dir", str(restored), "--replace").status == 1
    assert sorted(path.name for path in restored.iterdir()) == before


def test_a_backup_inside_the_directory_is_restored(copy: Path, tandem: Tandem, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    restored.mkdir()
    inside = restored / "copy"
    inside.write_bytes(copy.read_bytes())
    assert tandem("restore", str(inside), "--data-dir", str(restored), "--replace").status == 0
    (aside,) = restored.glob("replaced-*")
    assert [path.name for path in aside.iterdir()] == ["copy"]
    assert (restored / "tandem.sqlite3").is_file()


def on_terminal(*arguments: str, **variables: str) -> str:
    """Run the command line with standard output and standard error on a terminal, and return what it shows."""
    leader, follower = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "tandem_cli", *arguments]
    process = subprocess.Popen(
        command,
        env={**environment, "TERM": "xterm-256color", **variables},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the terminal has no other side any more
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    process.wait(60)
    return shown.decode()


def test_a_terminal_has_colours_unless_no_color_is_set(url: str) -> None:
    assert "\x1b[1;33mcat" in on_terminal("search", "cat", "--url", url)
    assert "\x1b[1;33m" not in on_terminal("search", "cat", "--url", url, NO_COLOR="1")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str, tandem: Tandem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TANDEM_COMPLETE", f"source_{shell}")
    done = tandem()
    assert done.status == 0
    assert "_TANDEM_COMPLETE" in done.out


def test_completion_knows_the_commands(tandem: Tandem, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_TANDEM_COMPLETE", "complete_bash"), ("COMP_WORDS", "tandem col"), ("COMP_CWORD", "1")):
        monkeypatch.setenv(name, value)
    assert "collections" in tandem().out.split()


def test_the_help_of_each_command_has_an_example(tandem: Tandem) -> None:
    commands.load()
    for lines in EXAMPLES.values():
        words = lines[0].rpartition("| ")[2].split()[1:]
        group = ["documents", "collections", "jobs", "keys"]
        done = tandem(*words[: 2 if words[0] in group else 1], "--help")
        assert done.status == 0
        assert "Example" in done.out
        assert all(" ".join(line.split()) in " ".join(done.out.split()) for line in lines), lines
