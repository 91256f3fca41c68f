"""Is `engine.checkpoint.memory_plan` right? Its prediction against the measured peak of a process that draws on the
CPU, for several models, sizes and batches.

    python -m benchmarks.memory [--short] [--json] [--folder DIR]

Each row is one child process: it loads what it needs and draws one picture of another, tiny model first, so that
libraries, their kernels and thread pools are there (the floor); then the peak of resident memory above the floor is
taken for every
stage: loading, encoding, denoising, decoding. Denoising does two steps: each needs the same. Linux only (`VmHWM`).
Fails past 10 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LIMIT = 0.10
CAPTIONS = ("寿司、りんご、青い背景", "a red apple on a blue background", "りんご", "a cat, a cat, a cat, a cat")


def _status(key: str) -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith(key)).split()[1]) << 10


def child(order: dict[str, Any]) -> dict[str, Any]:
    """Draw and measure, in this process. Bytes by stage: measured and predicted."""
    from engine import pipeline
    from engine.backends.factory import open_backend
    from engine.checkpoint.layout import identify
    from engine.checkpoint.memory_plan import on_cpu
    from engine.contract.request import ImageRequest

    def folder(parts: list[str]) -> Any:
        return identify(
            Path(parts[0]), **({"text_encoder": Path(parts[1]), "vae": Path(parts[2])} if len(parts) > 1 else {})
        )

    def requests(model: Any, count: int, side: int) -> list[ImageRequest]:
        return [
            pipeline.settle(
                ImageRequest(
                    prompt=f"{CAPTIONS[n % len(CAPTIONS)]} {order['salt']}", seed=n, steps=2, width=side, height=side
                ),
                model,
            )
            for n in range(count)
        ]

    def rest() -> None:
        """The peak begins anew from here."""
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    small = folder(order["small"])
    backend = open_backend(small, device="cpu")
    lanes = backend.lanes(64).count
    some = requests(small, lanes, 32)
    pipeline.decode(backend, pipeline.denoise_batch(backend, some, pipeline.encode(backend, some)))
    del backend
    model = folder(order["model"])
    model.hashes()  # known from then on: reading a file to hash it is no part of running it
    floor = _status("VmRSS")
    measured: dict[str, int] = {}

    def peak(stage: str) -> None:
        measured[stage] = _status("VmHWM") - floor
        rest()

    rest()
    backend = open_backend(model, device="cpu", dtype=order["dtype"])
    peak("load")
    some = requests(model, order["pictures"], order["side"])
    words = pipeline.encode(backend, some)
    peak("encode")
    latents = pipeline.denoise_batch(backend, some, words)
    peak("denoise")
    pipeline.decode(backend, latents[:lanes])
    peak("decode")
    tokens = max(f.tokens for f in words.values())
    predicted = on_cpu(
        model, backend.dtype, order["side"], order["side"], order["pictures"], lanes=lanes, tokens=tokens
    )
    return {"floor": floor, "measured": measured, "predicted": {k: predicted[k] for k in measured}, "lanes": lanes}


def rows(folder: Path | None, short: bool) -> list[dict[str, Any]]:
    """What is measured: model, side, pictures, dtype."""
    from benchmarks.wide import make_wide
    from engine.checkpoint.library import open_model

    mini = open_model("commonart-mini")
    found = [
        {"name": mini.name, "model": [str(mini.root)], "side": side, "pictures": n, "dtype": "fp32"}
        for side, n in ([(256, 4)] if short else [(128, 8), (256, 4), (256, 16), (512, 2)])
    ]
    if folder is None:
        return found
    for layers in (2,) if short else (2, 6):
        wide = make_wide(folder / f"wide-{layers}", layers=layers)
        parts = [str(p) for p in (wide.denoiser, wide.text_encoder, wide.vae)]
        for side in (256,) if short or layers > 2 else (256, 512):
            found += [
                {"name": wide.name, "model": parts, "side": side, "pictures": n, "dtype": dtype}
                for n, dtype in ([(2, "fp32")] if short else [(1, "fp32"), (2, "fp32"), (4, "fp32")])
            ]
    return found


def main() -> int:
    if len(sys.argv) == 3 and sys.argv[1] == "--child":
        print(json.dumps(child(json.loads(sys.argv[2]))))
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="two rows")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--folder", type=Path, help="keep the random models here (0.9 GB)")
    parser.add_argument("--mini", action="store_true", help="the bundled model only, one row; nothing is written")
    args = parser.parse_args()
    from benchmarks.record import save
    from tests.support.tiny_models import make_pipeline

    with tempfile.TemporaryDirectory(prefix="memory-") as name:
        folder = args.folder or Path(name)
        small = Path(name) / "small"
        make_pipeline(small)
        table = []
        for row in rows(None, True) if args.mini else rows(folder, args.short):
            order = row | {"small": [str(small)], "salt": os.urandom(4).hex()}  # no stored features
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory", "--child", json.dumps(order)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                check=True,
            ).stdout
            found = json.loads(told.splitlines()[-1])
            most, guess = max(found["measured"].values()), max(found["predicted"].values())
            table.append(
                {k: row[k] for k in ("name", "side", "pictures", "dtype")}
                | found
                | {"peak": most, "predicted_peak": guess, "deviation": guess / most - 1}
            )
            print(
                f"{row['name']:<16}{row['side']:>5} px × {row['pictures']:<3}{row['dtype']:<6}{most / 1e6:>9.0f} MB "
                f"measured {guess / 1e6:>9.0f} predicted "
                f"{guess / most - 1:>+7.1%}   "
                + "  ".join(
                    f"{s} {found['measured'][s] / 1e6:.0f}/{found['predicted'][s] / 1e6:.0f}" for s in found["measured"]
                ),
                file=sys.stderr,
                flush=True,
            )
    worst = max(abs(r["deviation"]) for r in table)
    result = {"rows": table, "worst": worst, "limit": LIMIT}
    where = "" if args.mini else f"; {save('memory-short' if args.short else 'memory', result)}"
    print(f"worst {worst:.1%}, limit {LIMIT:.0%}{where}", file=sys.stderr)
    if args.json:
        print(json.dumps(result, indent=1))
    return int(worst > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
