"""One queue over two machines: a real Ray cluster on this one, real drivers, the fake backend."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commonart_desktop.core.process import Worker
from engine.cluster import model_bundle, ray_connection
from engine.cluster.nodes import Nodes, NodeShares
from engine.contract import events
from engine.contract.errors import (
    BadValue,
    BrokenWeights,
    ClusterVersions,
    CommonArtError,
    MissingLibrary,
    NoCluster,
    NodeDiskFull,
    from_wire,
)
from engine.contract.ledger.ledger import MAX_DEATHS, Ledger
from tests.support.cluster_lab import Lab, lab
from tests.support.stub_model import check, make_stub, requests

STEP = "0.04"  # seconds: slow enough to be killed in the middle of a picture


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Joining a cluster sets variables of this process; later tests must not inherit them."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(places: Path) -> Iterator[Lab]:
    with lab(COMMONART_HOME=str(places / "node-home"), COMMONART_FAKE_STEP=STEP, OMP_NUM_THREADS="1") as one:
        yield one


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    led = Ledger(tmp_path / "queue.db")
    yield led
    led.close()


class Driven:
    """A driver, and what it says; ``when`` acts in the middle."""

    def __init__(self, ledger: Ledger, address: str, *options: str) -> None:
        self.events: list[events.Event] = []
        self.worker = Worker(ledger.path, ["--ray", address, "--backend", "fake", "--no-sign", *options])

    def until(self, enough: Callable[[list[events.Event]], bool]) -> None:
        """Listen until ``enough``, or to the end."""
        for event in self.worker.events():
            self.events.append(event)
            if enough(self.events):
                return

    def end(self) -> int:
        """To its own end."""
        self.until(lambda _: False)
        code = self.worker.process.wait(30)
        self.worker.close()
        return code

    def of(self, kind: type[events.Event]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


@pytest.fixture
def drive() -> Iterator[Callable[..., Driven]]:
    made: list[Driven] = []

    def start(*args: str | Ledger) -> Driven:
        made.append(Driven(*args))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for one in made:
        if one.worker.process.poll() is None:
            one.worker.process.kill()
            one.worker.process.wait()
        one.worker.close()


def saved(n: int) -> Callable[[list[events.Event]], bool]:
    return lambda said: sum(isinstance(e, events.Saved) for e in said) >= n


def test_a_node_is_lost_half_way(
    cluster: Lab, places: Path, tmp_path: Path, ledger: Ledger, drive: Callable[..., Driven]
) -> None:
    model, out = make_stub(places / "stub"), tmp_path / "out"
    job = ledger.add_job("many", requests(model, out, 24, steps=8, deterministic=True))
    d = drive(ledger, cluster.address, "--until-empty")
    d.until(saved(6))
    cluster.do("kill")
    assert d.end() == 0, d.events[-5:]
    check(ledger, out)  # every row done once, every file whole, the pixels those of a local run
    assert len(d.of(events.Saved)) == 24 == len({e.image for e in d.of(events.Saved)})
    assert all(r.deaths == 0 for r in ledger.page(job=job)), "a machine that leaves is no picture's fault"
    seen = {n["name"]: n for e in d.of(events.Nodes) for n in e.nodes}
    assert (
        seen["second"]["state"] == "lost"
        and from_wire(seen["second"]["error"]).kind == "node-lost"
        and seen["second"]["workers"] == 0
    )
    assert seen["first"]["state"] == "ready" and seen["first"]["images_per_hour"] > 0
    assert {e.device.split()[0] for e in d.of(events.Loaded)} == {"first", "second"}


def test_a_model_travels_and_the_queue_obeys(
    cluster: Lab, places: Path, own_home: Path, tmp_path: Path, ledger: Ledger, drive: Callable[..., Driven]
) -> None:
    """The node has another model under that name: it gets ours, by hash. Pause, resume, a cancelled job, quit."""
    import numpy as np
    from safetensors.numpy import save_file

    mine, theirs = (
        make_stub(own_home / "models" / "same-name"),
        make_stub(places / "node-home" / "models" / "same-name"),
    )
    weights = Path("transformer") / "diffusion_pytorch_model.safetensors"
    save_file({"w": np.ones((2, 2), np.float32)}, theirs / weights)
    out = tmp_path / "out"
    first = ledger.add_job("first", requests(Path("same-name"), out, 2, steps=4))
    second = ledger.add_job("second", requests(Path("same-name"), out, 40, steps=8, name="b{seed}", deterministic=True))
    d = drive(ledger, cluster.address)
    d.until(saved(3))
    assert [
        e
        for e in d.of(events.Note)
        if e.template.startswith("{node} has another model") and e.fields["name"] == "same-name"
    ]
    kept = list((places / "node-home" / "cache" / "cluster" / "models").glob("*/transformer/*.safetensors"))
    assert hashlib.sha256((mine / weights).read_bytes()).digest() in [
        hashlib.sha256(p.read_bytes()).digest() for p in kept
    ]
    assert not list((places / "node-home").rglob("*.commonart-part"))
    d.worker.tell("pause")
    d.until(lambda said: isinstance(said[-1], events.Paused))
    d.worker.tell("resume")
    d.until(lambda said: isinstance(said[-1], events.Resumed))
    ledger.set_state([second], ("waiting", "running"), "cancelled")
    d.until(lambda said: isinstance(said[-1], events.Idle))
    d.worker.tell("quit")
    assert d.end() == 0
    counts = ledger.counts()
    assert ledger.job(first).done == 2 and counts["waiting"] == counts["running"] == 0
    assert len([p for p in out.rglob("*") if p.is_file()]) == counts["done"] == len(d.of(events.Saved)), (
        "a cancelled picture leaves no file"
    )


def test_the_bundled_model_draws_the_same_pixels(
    cluster: Lab, tmp_path: Path, ledger: Ledger, drive: Callable[..., Driven]
) -> None:
    wanted = requests(Path("commonart-mini"), tmp_path / "out", 6, steps=6, deterministic=True)
    ledger.add_job("real", wanted)
    d = drive(ledger, cluster.address, "--until-empty", "--backend", "pytorch")
    assert d.end() == 0
    local = Ledger(tmp_path / "local.db")
    local.add_job("real", wanted)
    w = Worker(local.path, ["--until-empty", "--no-sign", "--batch-size", "1"])
    assert not [e for e in w.events() if isinstance(e, (events.Failed, events.Broken))]
    w.close()
    try:
        assert [r.pixel_sha256 for r in ledger.page()] == [r.pixel_sha256 for r in local.page()] and ledger.counts()[
            "done"
        ] == 6
    finally:
        local.close()


@pytest.mark.slow
def test_features_travel_instead_of_the_encoder(
    cluster: Lab,
    places: Path,
    own_home: Path,
    tiny_model: Path,
    tmp_path: Path,
    ledger: Ledger,
    drive: Callable[..., Driven],
) -> None:
    """Captions that were encoded here need no encoder there; new ones bring it, and their features come back."""
    shutil.copytree(tiny_model, own_home / "models" / "tiny")
    known = requests(Path("tiny"), tmp_path / "out", 2, steps=3, deterministic=True, name="{seed}")
    local = Ledger(tmp_path / "local.db")
    local.add_job("local", known)
    w = Worker(local.path, ["--until-empty", "--no-sign"])
    assert not [e for e in w.events() if isinstance(e, (events.Failed, events.Broken))]
    w.close()
    wanted = [r.pixel_sha256 for r in local.page()]
    local.close()
    ledger.add_job("known", known)
    d = drive(ledger, cluster.address, "--until-empty", "--backend", "pytorch")
    assert d.end() == 0 and [r.pixel_sha256 for r in ledger.page()] == wanted and None not in wanted

    def encoders() -> list[int]:
        there = (places / "node-home" / "cache" / "cluster" / "models").glob("*/text_encoder/*.safetensors")
        return [p.stat().st_size for p in there]

    assert max(encoders()) < 32, "only a place holder went"
    before = len(list((own_home / "cache" / "text").rglob("*.safetensors")))
    ledger.add_job("new", requests(Path("tiny"), tmp_path / "out", 1, steps=3, prompt="新しい言葉", name="new"))
    d = drive(ledger, cluster.address, "--until-empty", "--backend", "pytorch")
    assert d.end() == 0 and ledger.counts()["done"] == 3
    assert max(encoders()) > 10_000
    assert len(list((own_home / "cache" / "text").rglob("*.safetensors"))) == before + 1


@pytest.mark.slow
def test_what_kills_engines_is_set_aside(
    cluster: Lab, places: Path, tmp_path: Path, ledger: Ledger, drive: Callable[..., Driven]
) -> None:
    plain = requests(make_stub(places / "stub"), tmp_path / "out", 4, steps=4)
    from engine.contract.request import ImageRequest

    deadly = ImageRequest.from_dict(plain[1].to_dict() | {"prompt": "!die"})
    ledger.add_job("deadly", [plain[0], deadly, *plain[2:]])
    d = drive(ledger, cluster.address, "--until-empty")
    assert d.end() == 0
    assert [r.state for r in ledger.page()] == ["done", "failed", "done", "done"]
    assert ledger.page()[1].deaths == MAX_DEATHS and [from_wire(e.error).kind for e in d.of(events.Failed)] == [
        "worker-died"
    ]


# without a cluster ----------------------------------------------------------------------------------------------------


def test_no_ray_and_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoCluster, match="refused"):
        ray_connection._require_listener("127.0.0.1:1")
    for wrong in ("nowhere", "ray://", "host:port", "1.2.3.4:999999"):
        with pytest.raises(NoCluster):
            ray_connection._require_listener(wrong)
    told = ray_connection._translate(
        RuntimeError(
            "Version mismatch: The cluster was started with:\n    Ray: 2.61.0\n    Python: 3.11.2\nThis process on "
            "10.0.0.2 "
            "was started with:\n    Ray: 2.60.0\n    Python: 3.11.2\n"
        ),
        "10.0.0.1:6379",
    )
    assert isinstance(told, ClusterVersions) and "2.61.0" in str(told) and "10.0.0.1" in str(told)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingLibrary) as caught:
        ray_connection.import_ray()
    assert "commonart-desktop[cluster]" in caught.value.advice


def test_shares() -> None:
    assert len(NodeShares(gpus=0.5).engines({"GPU": 2, "CPU": 16})) == 4
    assert NodeShares().engines({"GPU": 1, "CPU": 0}) == [{"num_gpus": 1.0, "num_cpus": 0.0}]
    assert NodeShares(gpus=2).engines({"GPU": 1, "CPU": 8}) == []
    assert NodeShares().engines({"CPU": 8}) == [{"num_cpus": 8}] and len(NodeShares(cpus=2).engines({"CPU": 9})) == 4
    assert NodeShares().engines({}) == []
    for wrong in ({"gpus": 0}, {"gpus": float("nan")}, {"gpus": 1.5}, {"cpus": -1}):
        with pytest.raises(BadValue):
            NodeShares(**wrong)


def test_nodes_come_go_and_come_back() -> None:
    said: list[events.Event] = []
    nodes = Nodes(said.append)

    def entry(number: int, alive: bool = True) -> dict[str, Any]:
        return {
            "NodeID": f"id{number}",
            "Alive": alive,
            "NodeName": "10.0.0.1",
            "NodeManagerAddress": "10.0.0.1",
            "NodeManagerHostname": "studio",
            "Resources": {"CPU": 2.0, "memory": 1.0},
        }

    came, _ = nodes.update([entry(1), entry(2)])
    assert [n.name for n in came] == ["studio", "studio-2"]
    came[0].add_finished(3)
    nodes.report()
    nodes.report()  # at most once a second
    assert len(said) == 1 and [n["state"] for n in said[0].nodes] == ["loading", "loading"]  # type: ignore[attr-defined]
    _, went = nodes.update([entry(1), entry(2, alive=False)])
    assert went == [nodes.by_id["id2"]]
    went[0].state = "lost"
    came, went = nodes.update([entry(1), entry(2, alive=False), entry(3)])
    assert [n.name for n in came] == ["studio-2"] and not went and list(nodes.by_id) == ["id1", "id3"]


def test_what_arrives_is_checked(tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hash, within its folder, and with room on the disk."""
    stub = make_stub(tmp_path / "stub")
    bundle = model_bundle.ModelBundle(requests(stub, tmp_path, 1)[0])
    manifest = json.loads(json.dumps(bundle.manifest))
    folder, other, missing = model_bundle.find_model(manifest, False)
    assert folder is not None and folder.root == stub and not other and not missing
    shutil.move(stub, tmp_path / "elsewhere")
    bundle.files = {k: tmp_path / "elsewhere" / f.relative_to(stub) for k, f in bundle.files.items()}
    folder, _, missing = model_bundle.find_model(manifest, False)
    assert folder is None and set(missing) == set(bundle.files)
    key = "transformer/diffusion_pytorch_model.safetensors"
    with pytest.raises(BrokenWeights, match="did not arrive"):
        model_bundle.receive_chunk(manifest, key, 0, True, b"x" * bundle.files[key].stat().st_size, "node")
    with pytest.raises(BrokenWeights):
        model_bundle.receive_chunk(
            manifest | {"files": [{"key": "../../x", "size": 1, "sha256": ""}]}, "../../x", 0, True, b"x", "node"
        )
    with monkeypatch.context() as m:
        m.setattr(model_bundle, "RESERVED_DISK", 1 << 62)
        with pytest.raises(NodeDiskFull, match="node"):
            model_bundle.receive_chunk(manifest, key, 0, True, b"x", "node")
    for key, file in bundle.files.items():
        data = file.read_bytes()
        model_bundle.receive_chunk(manifest, key, 0, False, data[:5], "node")
        model_bundle.receive_chunk(manifest, key, 5, True, data[5:], "node")
    folder, _, missing = model_bundle.find_model(manifest, False)
    assert (
        not missing and folder is not None and folder.root.is_relative_to(own_home) and folder.hashes() == bundle.hashes
    )
    assert not list(own_home.rglob("*.commonart-part"))
    encoder = next(k for k in bundle.files if k.startswith("text_encoder") and k.endswith(".safetensors"))
    (folder.root / encoder).unlink()
    assert model_bundle.find_model(manifest, False)[2] == [encoder]
    light = model_bundle.find_model(manifest, True)[0]  # the captions' features came instead
    assert isinstance(light, model_bundle.ReceivedFolder) and light.hashes() == bundle.hashes and not light.complete
    data = bundle.files[encoder].read_bytes()
    model_bundle.receive_chunk(manifest, encoder, 0, True, data, "node")
    back = model_bundle.find_model(manifest, True)[0]
    assert (
        isinstance(back, model_bundle.ReceivedFolder) and back.complete and (back.root / encoder).read_bytes() == data
    )


def test_pictures_that_kill_engines_are_suspects(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add_job("deadly", requests(tmp_path, tmp_path, 2))
    for death in range(1, MAX_DEATHS + 1):
        rows = ledger.claim("me", lambda found: found)
        ledger.begin(rows[:1])
        assert ledger.mark_suspect_or_fail([rows[0].id], "another") == []  # not his
        assert ledger.mark_suspect_or_fail([rows[0].id], "me") == ([rows[0].id] if death == MAX_DEATHS else [])
        ledger.put_back([r.id for r in rows])
    first, second = ledger.page()
    assert (first.state, first.deaths, second.state, second.deaths) == ("failed", MAX_DEATHS, "waiting", 0)


def test_late_answers_end_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that takes connections and says nothing is given up."""
    import types

    heard: list[CommonArtError] = []
    done = threading.Event()
    fake = types.SimpleNamespace(init=lambda **_: done.wait(10))
    monkeypatch.setattr(ray_connection, "import_ray", lambda: fake)
    monkeypatch.setattr(ray_connection, "_require_listener", lambda _: None)
    monkeypatch.setattr(ray_connection, "JOIN_SECONDS", 0.01)
    ray_connection.join("10.0.0.1:6379", lambda e: (heard.append(e), done.set()))  # type: ignore[func-returns-value]
    assert isinstance(heard[0], NoCluster)
