"""What Ray costs and where one driver ends: ``python -m benchmarks.cluster [--rounds N] [--only
overhead|scaling|driver] [--json]``.

``overhead``  the bundled model's pictures by the local worker and by one engine over Ray, by turns on the same cores,
from the model's being loaded
              to the last file; goal: at most 5 % more.
``scaling``   1, 2 and 4 engines of the fake backend with a given time a picture; goal: 95 % of linear.
``driver``    how many finished pictures of 512 x 512 a second one driver can name, sign, write and mark, without any
engine. Raw results go to ``benchmarks/results/cluster-<name>.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from commonart_desktop.core.process import Worker
from engine.contract import events
from engine.contract.ledger.ledger import Ledger
from engine.contract.provenance_policy import ProvenancePolicy
from engine.contract.request import ImageRequest
from engine.imagefile.image import encode_image, pixel_sha256
from engine.output.save import DecodedImage
from engine.provenance.finalize import ImageFinalizer
from engine.worker.stage_timer import StageTimer
from engine.worker.writer import ResultWriter
from tests.support.cluster_lab import lab
from tests.support.stub_model import make_stub

RESULTS = Path(__file__).parent / "results"
PICTURE_SECONDS = 0.4  # of the fake backend
STEPS = 20


def _run(folder: Path, options: list[str], requests: list[ImageRequest]) -> dict[str, float]:
    """One queue to its end: pictures a second from the model's being loaded by every engine to the last file, and
    seconds until then.
    """
    ledger = Ledger(folder / f"{time.monotonic_ns()}.db")
    ledger.add_job("bench", requests)
    began = time.perf_counter()
    worker = Worker(ledger.path, ["--until-empty", *options])
    loaded, last, count, counted, engines = 0.0, 0.0, 0, 0, 0
    for event in worker.events():
        now = time.perf_counter()
        if isinstance(event, events.Loaded):
            engines, loaded, counted = engines + 1, now, 0
        elif isinstance(event, events.Saved):
            count, counted, last = count + 1, counted + 1, now
        elif isinstance(event, (events.Failed, events.Broken)):
            raise RuntimeError(event.error["message"])
    worker.close()
    ledger.close()
    assert count == len(requests), count
    return {"per_second": counted / (last - loaded), "start_seconds": loaded - began, "engines": engines}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def overhead(folder: Path, rounds: int, pictures: int) -> dict[str, Any]:
    """The local worker and one engine on a node with all of this machine's cores, by turns."""
    requests = [
        ImageRequest(prompt=f"りんご {n % 8}", seed=n, out=str(folder / "out"), steps=STEPS) for n in range(pictures)
    ]
    cores = os.cpu_count() or 1
    found: dict[str, list[dict[str, float]]] = {"local": [], "ray": []}
    with lab(cores, 1, OMP_NUM_THREADS=str(cores)) as cluster:
        for n in range(rounds):
            for name in ("local", "ray") if n % 2 == 0 else ("ray", "local"):
                found[name].append(_run(folder, ["--ray", cluster.address] if name == "ray" else [], requests))
    speeds = {k: [r["per_second"] for r in v] for k, v in found.items()}
    ratios = [a / b for a, b in zip(speeds["local"], speeds["ray"], strict=True)]
    return {
        "pictures": pictures,
        "local_per_second": _spread(speeds["local"]),
        "ray_per_second": _spread(speeds["ray"]),
        "overhead": {k: v - 1 for k, v in _spread(ratios).items()},
        "goal": 0.05,
        "rounds": found,
    }


def scaling(folder: Path, rounds: int, pictures: int) -> dict[str, Any]:
    """Engines that only wait: what is lost is the driver's and Ray's."""
    model = make_stub(folder / "stub")
    found: dict[int, list[float]] = {1: [], 2: [], 4: []}
    with lab(4, 1, COMMONART_FAKE_STEP=str(PICTURE_SECONDS / STEPS), OMP_NUM_THREADS="1") as cluster:
        for _ in range(rounds):
            for engines, speeds in found.items():
                requests = [
                    ImageRequest(
                        prompt="a",
                        seed=n,
                        out=str(folder / "out"),
                        steps=STEPS,
                        model=str(model),
                        width=512,
                        height=512,
                    )
                    for n in range(pictures * engines)
                ]
                one = _run(
                    folder,
                    [
                        "--ray",
                        cluster.address,
                        f"--cpus-per-worker={4 // engines}",
                        "--backend",
                        "fake",
                        "--batch-size",
                        "1",
                    ],
                    requests,
                )
                assert one["engines"] == engines, one
                speeds.append(one["per_second"])
    linear = statistics.median(found[1])
    return {
        "seconds_a_picture": PICTURE_SECONDS,
        "pictures_an_engine": pictures,
        "per_second": {k: _spread(v) for k, v in found.items()},
        "of_linear": {k: statistics.median(v) / (k * linear) for k, v in found.items()},
        "of_ideal": {k: statistics.median(v) * PICTURE_SECONDS / k for k, v in found.items()},
        "goal": 0.95,
    }


def driver(folder: Path, rounds: int, pictures: int) -> dict[str, Any]:
    """Pictures that came back coded, to files and rows, with every writer the driver has."""
    noise = np.random.default_rng(0)
    smooth = np.clip(
        np.add.outer(np.arange(512), np.arange(512))[..., None] / 4 + noise.normal(0, 6, (512, 512, 3)), 0, 255
    ).astype(np.uint8)
    coded, sha = encode_image(smooth, "png"), pixel_sha256(smooth)
    facts = {"backend": "fake", "device": "cpu", "dtype": "fp32", "libraries": {}}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, policy in (("signed", ProvenancePolicy()), ("unsigned", ProvenancePolicy(sign=False))):
            ledger = Ledger(folder / f"{time.monotonic_ns()}.db")
            ledger.add_job(
                "bench",
                [
                    ImageRequest(prompt="りんご", seed=n, out=str(folder / "files"), width=512, height=512)
                    for n in range(pictures)
                ],
            )
            rows = ledger.claim("bench", lambda waiting: waiting, look=pictures)
            seal = ImageFinalizer(policy, lambda e: print(e))
            finisher = ResultWriter(ledger, "bench", lambda _: None, StageTimer(), seal, threading.Event(), True)
            seal.pack(
                smooth,
                "png",
                {
                    "commonart": 1,
                    "request": vars(rows[0].request) | {"draw": []},
                    "hashes": {"denoiser": "0" * 64},
                    "app": "x",
                },
            )
            began = time.perf_counter()
            for row in rows:
                finisher.take(
                    DecodedImage(
                        row=row,
                        request=row.request,
                        coded=coded,
                        sha256=sha,
                        model="m",
                        hashes={"denoiser": "0" * 64},
                        loras=[],
                        backend=facts,
                        batch=(1, 0),
                        unknown_words=[],
                        cut=False,
                    )
                )
            finisher.drain()
            found.setdefault(name, []).append(pictures / (time.perf_counter() - began))
            finisher.close()
            assert ledger.counts()["done"] == pictures
            ledger.close()
    return {
        "file_bytes": len(coded),
        "pictures": pictures,
        "files_per_second": {k: _spread(v) for k, v in found.items()},
    }


PARTS = {"overhead": (overhead, 64), "scaling": (scaling, 25), "driver": (driver, 128)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--pictures", type=int, help="in a run (of overhead and driver), or for each engine (of scaling)"
    )
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--json", action="store_true", help="everything on standard output")
    args = parser.parse_args()
    import ray

    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ray": ray.__version__,
    }
    for name, (measure, pictures) in PARTS.items():
        if args.only not in (None, name):
            continue
        with tempfile.TemporaryDirectory(prefix="commonart-cluster-") as folder:
            os.environ["COMMONART_HOME"] = str(Path(folder) / "home")
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None  # Windows tells none
            found = {
                "benchmark": f"cluster {name}",
                "machine": machine | {"load_before": load},
                **measure(Path(folder), args.rounds, args.pictures or pictures),
            }
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"cluster-{name}.json").write_text(
            json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        shown = found if args.json else {k: v for k, v in found.items() if k not in ("rounds", "machine")}
        print(json.dumps(shown, indent=1, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
