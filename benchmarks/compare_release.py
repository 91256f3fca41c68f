"""Whether this checkout draws the same pixels as another one: every pixel, on this machine.

    python -m benchmarks.compare_release --base DIR [--python FILE] [--skip-export] [--json]

``DIR`` is a checkout of the version to compare with. Both draw the requests of ``tests/data/v0_1_0/pixels.jsonl``
(every preset and sampler, LoRAs, sizes) through ``commonart generate``, with the same interpreter and libraries: with
PyTorch, one by one and as micro-batches that depend on each other; with ONNX Runtime, a small export that is kept
beside the tests and the bundled model's, each version running its own export and this one the other's too. Exit status
1 where one ``pixel_sha256`` differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "tests" / "data"


class Checkout:
    """A version's source, run in a data folder of its own."""

    def __init__(self, source: Path, python: str, scratch: Path) -> None:
        self.source, self.python, self.scratch = source.resolve(), python, scratch
        self.home = scratch / "home"
        self.home.mkdir(parents=True)
        self._environment = {k: v for k, v in os.environ.items() if not k.startswith(("COMMONART_", "MKL_"))} | {
            "PYTHONPATH": str(self.source),
            "COMMONART_HOME": str(self.home),
            "COMMONART_LANG": "en",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
            "HF_HUB_OFFLINE": "1",
        }
        found = self._run(
            "-c", "import commonart_desktop, engine; print(commonart_desktop.__file__); print(engine.__file__)"
        ).splitlines()
        for file in found:
            if not Path(file).is_relative_to(self.source):
                raise SystemExit(f"{python} takes its modules from {file} instead of {self.source}")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.scratch,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{self.source}: {' '.join(arguments)} ended with {done.returncode}\n{done.stderr}")
        return done.stdout

    def draw(self, requests: Path, model: str, *options: str) -> dict[str, str]:
        """``pixel_sha256`` by case."""
        made = self._run(
            "-m",
            "commonart_desktop",
            "generate",
            "--from",
            str(requests),
            "--model",
            model,
            "--no-sign",
            "--device",
            "cpu",
            "--dtype",
            "fp32",
            "--quiet",
            "--json",
            "--name",
            "{case}",
            "--out",
            tempfile.mkdtemp(dir=self.scratch),
            *options,
        )
        return {Path(one["path"]).stem: str(one["pixel_sha256"]) for one in map(json.loads, made.splitlines())}

    def export(self, name: str) -> Path:
        """The bundled model as ONNX graphs."""
        self._run("-m", "commonart_desktop", "export", "commonart-mini", str(self.scratch / name), "--dtype", "fp32")
        return self.scratch / name


def compare(base: Checkout, mine: Checkout, work: Path, *, export: bool) -> list[dict[str, Any]]:
    """One row for each way of drawing: the cases that were compared, and those that differ."""
    rows = (DATA / "v0_1_0" / "pixels.jsonl").read_text(encoding="utf-8").splitlines()
    everything, plain, small = work / "all.jsonl", work / "plain.jsonl", work / "small.jsonl"
    for file, some in (
        (everything, rows),
        (plain, [r for r in rows if '"loras"' not in r]),
        (small, [r for r in rows if '"loras"' not in r and '"32x32"' in r]),
    ):
        file.write_text("".join(f"{line}\n" for line in some), encoding="utf-8")
    for checkout in (base, mine):
        with zipfile.ZipFile(DATA / "v0_1_0" / "home.zip") as archive:
            archive.extractall(checkout.home, [n for n in archive.namelist() if n.startswith("data/loras/")])
        (checkout.home / "data" / "loras").rename(checkout.home / "loras")
        with zipfile.ZipFile(DATA / "tiny_onnx.zip") as archive:
            archive.extractall(checkout.home / "models")
    ways: list[tuple[str, Path, tuple[str, ...], str, str]] = [
        ("PyTorch, deterministic", everything, ("--deterministic",), "commonart-mini", "commonart-mini"),
        ("PyTorch, micro-batches of 4", everything, ("--batch-size", "4"), "commonart-mini", "commonart-mini"),
        ("PyTorch, a tiny pipeline", small, ("--deterministic",), "tiny", "tiny"),
        ("ONNX Runtime, a tiny export", small, ("--deterministic",), "tiny-onnx", "tiny-onnx"),
    ]
    if export:
        theirs, ours = str(base.export("mini-onnx")), str(mine.export("mini-onnx"))
        ways += [
            ("ONNX Runtime, each its own export", plain, ("--deterministic",), theirs, ours),
            ("ONNX Runtime, the other's export", plain, ("--deterministic",), theirs, theirs),
            ("ONNX Runtime, micro-batches of 4", plain, ("--batch-size", "4"), theirs, theirs),
        ]
    found = []
    for what, requests, options, before, now in ways:
        old, new = base.draw(requests, before, *options), mine.draw(requests, now, *options)
        found.append(
            {
                "what": what,
                "cases": len(old),
                "differ": sorted(c for c in old.keys() | new.keys() if old.get(c) != new.get(c)),
            }
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--base", type=Path, required=True, help="a checkout of the version to compare with")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs both (this one)")
    parser.add_argument(
        "--skip-export",
        action="store_true",
        help="without the bundled model's export, which takes a minute for each version",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        base, mine = Checkout(args.base, args.python, scratch / "base"), Checkout(ROOT, args.python, scratch / "mine")
        rows = compare(base, mine, scratch, export=not args.skip_export)
    same = not any(row["differ"] for row in rows)
    if args.json:
        print(
            json.dumps({"same": same, "seconds": round(time.monotonic() - began, 1), "rows": rows}, ensure_ascii=False)
        )
    else:
        for row in rows:
            print(
                f"{row['what']:<36} {row['cases']:>3} images  "
                f"{'same' if not row['differ'] else 'DIFFER: ' + ', '.join(row['differ'])}"
            )
        print("every pixel is the same" if same else "other pixels")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
