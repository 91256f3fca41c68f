"""Fetching a model, against a hub of our own on 127.0.0.1; the real program in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from commonart_desktop.core.process import program
from engine.checkpoint.get import choose
from engine.contract.errors import BadValue, BrokenDownload, NoNetwork, NotOnHub, UsageError
from tests.support.stub_model import ROOT, make_stub

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """One repository ``someone/tiny`` out of a folder: the hub's API as far as it is needed."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.files = {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
        }
        self.told: dict[str, bytes] = {}  # path -> bytes that the hub claims it has
        self.names: dict[str, str] = {}  # path -> name that the hub claims
        self.cut: dict[str, int] = {}  # path -> break the connection once after so many bytes
        self.ranges: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None:
        pass

    def _json(self, status: int, data: Any, **headers: str) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/someone/tiny"):
            siblings = []
            for name, real in self.server.files.items():
                data = self.server.told.get(name, real)
                one: dict[str, Any] = {
                    "rfilename": self.server.names.get(name, name),
                    "size": len(data),
                    "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
                }
                if name.endswith((".safetensors", ".bin")):
                    one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                siblings.append(one)
            return self._json(
                200,
                {
                    "_id": "1",
                    "id": "someone/tiny",
                    "sha": COMMIT,
                    "tags": ["license:apache-2.0"],
                    "private": False,
                    "downloads": 0,
                    "likes": 0,
                    "siblings": siblings,
                    "cardData": {"license": "apache-2.0"},
                },
            )
        head = f"/someone/tiny/resolve/{COMMIT}/"
        data = self.server.files.get(path.removeprefix(head)) if path.startswith(head) else None
        if data is None:
            return self._json(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        name, asked = path.removeprefix(head), self.headers.get("Range")
        self.server.ranges.append((name, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        stop = self.server.cut.pop(name, len(data))
        self.wfile.write(data[start:stop])
        if stop < len(data):
            self.wfile.flush()
            self.connection.close()
        return None


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    hub = Hub(folder)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = make_stub(tmp_path / "stub")
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(
        bytes(range(256)) * 4000
    )  # a megabyte to break
    (folder / "picture.gif").write_bytes(b"GIF")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(folder) as server:
        yield server


def fetch(hub: Hub, *options: str, repo: str = "someone/tiny") -> dict[str, Any]:
    return program("engine.checkpoint", ["get", repo, "--endpoint", hub.url, *options], online=True)


def test_dry_run_tells_licence_and_sizes_and_fetches_nothing(hub: Hub, tmp_path: Path) -> None:
    offer = fetch(hub, "--dry-run")
    assert offer["licence"] == "apache-2.0" and offer["path"] is None and offer["left"] == offer["bytes"] > 1_000_000
    assert [f["path"] for f in offer["skipped"]] == ["picture.gif"]
    assert hub.ranges == [] and not (tmp_path / "cache").exists()


def test_fetched_once_and_found_by_name(hub: Hub) -> None:
    steps: list[tuple[int, int]] = []
    answer = program(
        "engine.checkpoint",
        ["get", "someone/tiny", "--endpoint", hub.url],
        online=True,
        on_progress=lambda *s: steps.append(s),
    )
    root = Path(answer["path"])
    assert {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()} == {
        n: d for n, d in hub.files.items() if n != "picture.gif"
    }
    assert steps[-1] == (answer["bytes"], answer["bytes"])
    asked = len(hub.ranges)
    assert fetch(hub)["left"] == 0 and len(hub.ranges) == asked, "what is here is not fetched again"
    (found,) = [m for m in program("engine.checkpoint", ["list"])["models"] if m["source"] == "hub-cache"]
    assert found["name"] == "someone/tiny" and found["ok"]


def test_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    name = "vae/diffusion_pytorch_model.safetensors"
    part = (
        tmp_path
        / "cache"
        / "models--someone--tiny"
        / "blobs"
        / f"{hashlib.sha256(hub.files[name]).hexdigest()}.commonart.part"
    )
    part.parent.mkdir(parents=True)
    part.write_bytes(hub.files[name][:300_000])
    assert (offer := fetch(hub, "--dry-run"))["left"] == offer["bytes"] - 300_000
    answer = fetch(hub)
    assert [r for n, r in hub.ranges if n == name] == ["bytes=300000-"]
    assert (Path(answer["path"]) / name).read_bytes() == hub.files[name] and not part.exists()


def test_a_broken_connection_is_taken_up_again(hub: Hub) -> None:
    name = "vae/diffusion_pytorch_model.safetensors"
    hub.cut[name] = 500_000
    assert (Path(fetch(hub)["path"]) / name).read_bytes() == hub.files[name]
    first, second = (r for n, r in hub.ranges if n == name)
    assert first is None and second is not None


@pytest.mark.parametrize("name", ["vae/diffusion_pytorch_model.safetensors", "model_index.json"])
def test_another_hash_is_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.told[name] = hub.files[name][:-1] + b"!"
    with pytest.raises(BrokenDownload, match="its hash is another"):
        fetch(hub)
    wrong = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.read_bytes() == hub.files[name]]
    assert wrong == [] and not list((tmp_path / "cache").rglob("*.part"))


@pytest.mark.parametrize("name", ["../../evil.json", "/etc/evil.json", "a/../b.json", "c:\\evil.json", "a//b.json"])
def test_names_that_lead_out_of_the_cache_are_refused(hub: Hub, tmp_path: Path, name: str) -> None:
    hub.names["model_index.json"] = name
    with pytest.raises(BrokenDownload, match="nonsense"):
        fetch(hub)
    assert not list(tmp_path.rglob("*evil*"))


def test_unknown_repository(hub: Hub) -> None:
    with pytest.raises(NotOnHub, match="someone/nothing"):
        fetch(hub, repo="someone/nothing")
    with pytest.raises(BadValue):
        fetch(hub, repo="a/b/c d")


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(NoNetwork, match=r"http://127\.0\.0\.1:9 cannot be reached: "):
        program("engine.checkpoint", ["get", "someone/tiny", "--endpoint", "http://127.0.0.1:9"], online=True)


def test_changed_since_it_was_shown(hub: Hub) -> None:
    with pytest.raises(UsageError, match="changed at the hub"):
        fetch(hub, "--expect", "f" * 40)


def test_the_command_asks_first(hub: Hub) -> None:
    def command(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "commonart_desktop",
                "models",
                "get",
                "someone/tiny",
                "--endpoint",
                hub.url,
                *options,
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )

    asked = command()
    assert asked.returncode == 2 and "--yes" in asked.stderr and "apache-2.0" in asked.stderr and hub.ranges == []
    done = command("--yes")
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "model_index.json").is_file()
    assert json.loads(command("--dry-run", "--json").stdout)["left"] == 0


def test_which_files() -> None:
    paths = [
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
        "sdxl.vae.safetensors",
        "old.bin",
        "a.py",
        "LICENSE",
        "text/pytorch_model-00001-of-00002.bin",
        "text/pytorch_model-00002-of-00002.bin",
        "text/training_args.bin",
        "text/spiece.model",
        "shards/model-00001-of-00002.safetensors",
        "shards/model-00002-of-00002.safetensors",
        "shards/model.safetensors.index.json",
    ]
    take, leave = choose(paths)
    assert set(take) == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "LICENSE",
        "text/spiece.model",
        "shards/model-00001-of-00002.safetensors",
        "shards/model-00002-of-00002.safetensors",
        "shards/model.safetensors.index.json",
    }
    assert set(take) | set(leave) == set(paths)
    more, _ = choose(paths, allow_pickles=True)
    assert set(more) - set(take) == {"text/pytorch_model-00001-of-00002.bin", "text/pytorch_model-00002-of-00002.bin"}
