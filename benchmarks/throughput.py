"""Pictures per second from prompt text to files on disk: against diffusers, how the time grows, and at CommonArt β's
width.

    python -m benchmarks.throughput [--short] [--json] [--only against,growth,wide]

Everything goes through the real worker over a real queue, as `commonart bench` does. Goals on two cores in fp32: 2.0
times diffusers with 45 dB or better on the bundled model; at full width 2.5 times diffusers' fp32 with the best exact,
compiled or bf16 path; the cost of a picture flat from 10 to 10,000 prompts. Some eight minutes on a quiet machine of
two cores; `--short` two.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.record import save
from benchmarks.wide import make_wide
from engine.bench.__main__ import bench
from engine.bench.compare import Baseline, compare
from engine.bench.machine import peak
from engine.bench.ours import EngineRun
from engine.bench.prompts import prompts
from engine.checkpoint.library import open_model
from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest

GOALS = {"against": 2.0, "psnr_db": 45.0, "wide": 2.5, "flat": 1.15}
BF16_PAYS = 1.3  # times the fp32 matrix peak: below it there is no arithmetic for bf16


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def against(work: Path, short: bool) -> dict[str, Any]:
    """The bundled model, ours by turns with diffusers."""
    count, rounds = (16, 2) if short else (64, 3)
    found = bench(["--against", "diffusers", "--prompts", str(count), "--rounds", str(rounds), "--steps", "20"])
    for name, side in found["sides"].items():
        say(
            f"  {name:<10}{side['pictures_per_second']:>8.2f} pictures/s ({side['slowest']:.2f} to "
            f"{side['fastest']:.2f}){side['peak_memory_bytes'] / 1e6:>8.0f} MB"
            + "".join(f"  {k} {v:.2f} s" for k, v in side.get("stage_seconds", {}).items())
        )
    say(
        f"  ratio {found['ratio']:.2f} (goal {GOALS['against']}; rounds "
        f"{found['against']['diffusers']['ratio_of_rounds']}), PSNR {found['psnr_db']:.1f} dB at least, "
        f"{found['share_of_matmul_peak'] or 0:.0%} of the matrix "
        f"peak{'' if found['reliable'] else '; NOT RELIABLE, the rounds lie too far apart'}"
    )
    return found


def _measured(
    ours: EngineRun, rounds: Iterable[tuple[str, int, int]], work: Path, tell: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Rounds (label, pictures, first prompt) of one worker that is already warm."""
    rows = []
    for label, count, start in rounds:
        ours.watch.reset()
        cpu, began = _used(ours), time.perf_counter()
        got = ours.round(prompts(count, start), range(start, start + count), work / f"{label}-{start}")
        row = {
            "what": label,
            "pictures": count,
            "seconds_per_picture": got.seconds / count,
            "processor_seconds_per_picture": (_used(ours) - cpu) / count,
            "peak_memory_bytes": ours.watch.peak,
            "seconds": time.perf_counter() - began,
            "stage_seconds": got.stages,
        }
        rows.append(row)
        tell(row)
    return rows


def _used(ours: EngineRun) -> float:
    """Processor seconds of the worker so far."""
    try:
        times = psutil.Process(ours.watch.pid).cpu_times()
        return float(times.user + times.system)
    except psutil.Error:
        return 0.0


def growth(work: Path, short: bool) -> dict[str, Any]:
    """How the time of a picture grows with micro-batch, prompts, size, and the queue before it."""
    model = open_model("commonart-mini")
    settings = {"steps": 20, "guidance": 4.5, "width": 64, "height": 64, "model": str(model.root), "dtype": "fp32"}
    found: dict[str, Any] = {}

    def tell(row: dict[str, Any]) -> None:
        say(
            f"  {row['what']:<14}{row['pictures']:>7} pictures{row['seconds_per_picture'] * 1000:>9.1f} ms each "
            f"({row['processor_seconds_per_picture'] * 1000:.1f} of "
            f"processor){row['peak_memory_bytes'] / 1e6:>7.0f} MB"
        )

    start = 10_000
    found["batch"] = []
    for batch in (1, 16) if short else (1, 4, 16, 64):
        ours = EngineRun(work / f"batch-{batch}", settings=settings, device="cpu", batch=batch)
        ours.round(prompts(min(batch, 8), start - 100), range(min(batch, 8)), work / f"warm-{batch}")
        found["batch"] += _measured(ours, [(f"batch {batch}", 16 if short else 64, start)], work, tell)
        ours.close()
        start += 100
    ours = EngineRun(work / "prompts", settings=settings, device="cpu")
    ours.round(prompts(8, start), range(8), work / "warm-prompts")
    counts = (10, 50) if short else (10, 100, 1_000)
    found["prompts"] = _measured(ours, [(f"{n} prompts", n, start + 10 * n) for n in counts], work, tell)
    found["size"] = []
    for side in (64, 128) if short else (64, 128, 192, 256):
        ours._settings = settings | {"width": side, "height": side}
        found["size"] += _measured(ours, [(f"{side} px", 4 if short else 8, 50_000 + side)], work, tell)
    ours.close()
    fake = EngineRun(work / "fake", settings=settings, backend="fake")
    fake.round(prompts(8, 60_000), range(8), work / "warm-fake")
    found["prompts_fake"] = _measured(
        fake, [(f"fake {n}", n, 70_000 + n) for n in ((100, 1_000) if short else (10, 100, 1_000, 10_000))], work, tell
    )
    fake.close()
    found["queue"] = []
    for before in (0, 10_000) if short else (0, 1_000, 100_000):
        home = work / f"behind-{before}"
        home.mkdir()
        ledger = Ledger(home / "queue.db")  # a job that is held lies before what is measured
        ledger.pause(
            [
                ledger.add_job(
                    "held",
                    [ImageRequest(prompt="りんご", seed=n, out=str(work), **settings) for n in range(max(1, before))],
                )
            ],
            True,
        )
        ledger.close()
        fake = EngineRun(home, settings=settings, backend="fake")
        fake.round(prompts(8, 90_000), range(8), work / f"warm-behind-{before}")
        found["queue"] += _measured(fake, [(f"behind {before}", 200, 91_000)], work, tell)
        fake.close()
    for name in ("prompts", "prompts_fake", "queue"):
        # processor time, which a busy machine moves less; the first is too short to count: one micro-batch
        costs = [r["processor_seconds_per_picture"] for r in found[name]]
        found[f"{name}_flat"] = costs[-1] / costs[1 if len(costs) > 2 else 0]
        say(
            f"  {name}: the last costs {found[f'{name}_flat']:.2f} times the one before (goal at most "
            f"{GOALS['flat']}), memory "
            f"{found[name][0]['peak_memory_bytes'] / 1e6:.0f} to {found[name][-1]['peak_memory_bytes'] / 1e6:.0f} MB"
        )
    return found


def wide(work: Path, short: bool) -> dict[str, Any]:
    """CommonArt β's width, 2 of 28 layers, 512 px, with a slim VAE so that its share is that of the full depth."""
    model = make_wide(work / "model", layers=2, slim=True)
    side, count, rounds, steps = (256, 2, 1, 2) if short else (512, 4, 2, 4)
    settings = {"steps": steps, "guidance": 4.5, "width": side, "height": side}
    request = settings | {
        "model": str(model.root),
        "text_encoder": str(model.text_encoder),
        "vae": str(model.vae),
        "dtype": "fp32",
    }
    ways = [EngineRun(work / "exact", settings=request, device="cpu")]
    compiled = EngineRun(work / "compiled", settings=request, device="cpu", environment={"COMMONART_COMPILE": "on"})
    compiled.name = "compiled"
    others: list[Any] = [compiled]
    peaks = {kind: peak("cpu", kind) for kind in ("fp32", "bf16")}
    if peaks["bf16"] > BF16_PAYS * peaks["fp32"]:
        half = EngineRun(work / "bf16", settings=request | {"dtype": "bf16"}, device="cpu")
        half.name = "bf16"
        others.append(half)
    parts = [str(model.root), "--text-encoder", str(model.text_encoder), "--vae", str(model.vae)]
    others.append(Baseline(parts, settings=settings, device="cpu", dtype="fp32", batch=2))
    found = compare(ways[0], others, count=count, rounds=rounds, work=work, on_progress=lambda done, total: None)
    rates = {name: s["pictures_per_second"] for name, s in found["sides"].items()}
    best = max((n for n in rates if n != "diffusers"), key=rates.__getitem__)
    found |= {
        "best": best,
        "ratio": rates[best] / rates["diffusers"],
        "matmul_peak": peaks,
        "settings": settings,
        "layers": 2,
    }
    for name, rate in rates.items():
        say(f"  {name:<10}{rate:>8.3f} pictures/s{found['sides'][name]['peak_memory_bytes'] / 1e6:>8.0f} MB")
    say(
        f"  best {best}: {found['ratio']:.2f} times diffusers' fp32 (goal {GOALS['wide']}); matrix peaks fp32 "
        f"{peaks['fp32'] / 1e9:.0f}, bf16 {peaks['bf16'] / 1e9:.0f} "
        f"GFLOP/s{'' if 'bf16' in rates else ': no arithmetic for bf16 here'}"
    )
    return found


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {"against": against, "growth": growth, "wide": wide}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--short", action="store_true", help="fewer pictures and rounds: does it work, not how fast it is"
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--out", type=Path, help="where the raw result goes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        os.environ["COMMONART_HOME"] = str(Path(name) / "home")
        for part in args.only.split(","):
            say(f"{part} (load {psutil.getloadavg()[0]:.1f})")
            (Path(name) / part).mkdir()
            found[part] = PARTS[part](Path(name) / part, args.short)
    found |= {"goals": GOALS, "seconds": time.perf_counter() - began, "short": args.short}
    say(f"{found['seconds']:.0f} s; {save('throughput-short' if args.short else 'throughput', found, args.out)}")
    if args.json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
