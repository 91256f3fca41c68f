"""How fast the ledger is with a very long queue: ``python -m benchmarks.queue [--rows 100000] [--json]``.

Fails past its limits.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.ledger.ledger import Ledger
from engine.contract.request import ImageRequest

#: seconds, at 100,000 rows; any page, at any place
LIMITS = {"add": 10.0, "open": 1.0, "page": 0.05}


def _peak_mib() -> float | None:
    """The most memory this process has held, in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (2**20 if sys.platform == "darwin" else 2**10)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def measure(path: Path, rows: int) -> dict[str, float | None]:
    """Seconds of each operation on a fresh ledger at ``path``; pages are the slowest of three."""
    figures: dict[str, float | None] = {}
    ledger = Ledger(path)
    before = _peak_mib()
    requests = (
        ImageRequest(
            prompt=f"青い背景のりんご {n}, watercolour",
            seed=n,
            out="/pictures",
            template="{colour}背景のりんご",
            draw=("青い",),
        )
        for n in range(rows)
    )
    figures["add"], _ = _timed(lambda: ledger.add_job("many", requests))
    ledger.close()
    figures["open"], ledger = _timed(lambda: Ledger(path))

    def pages(label: str, state: str | None, size: int) -> None:
        for name, offset in (("start", 0), ("middle", size // 2), ("end", max(0, size - 100))):
            slowest = 0.0
            for _ in range(3):
                seconds, found = _timed(lambda offset=offset: ledger.page(offset=offset, limit=100, state=state))
                assert len(found) == min(100, size), (label, name, len(found))
                slowest = max(slowest, seconds)
            figures[f"page {label} {name}"] = slowest

    pages("of all", None, rows)
    pages("waiting", "waiting", rows)
    worker = "1-bench"
    claimed: list[Any] = []
    figures["claim 200"], claimed = _timed(lambda: ledger.claim(worker, lambda found: found[:200], look=200))
    assert len(claimed) == min(200, rows)

    def finish() -> None:
        for row in claimed:
            ledger.done(
                row.id, path=Path("/pictures/x.png"), pixel_sha256="0" * 64, recipe={"request": row.request.to_dict()}
            )

    figures["done 200"], _ = _timed(finish)
    pages("done", "done", len(claimed))
    pages("waiting after", "waiting", rows - len(claimed))
    figures["counts"], counts = _timed(ledger.counts)
    assert counts["done"] == len(claimed)
    figures["cancel all"], _ = _timed(lambda: ledger.set_state(None, ["waiting"], "cancelled"))
    pages("cancelled", "cancelled", rows - len(claimed))
    figures["clear all"], _ = _timed(lambda: ledger.clear(["done", "cancelled"]))
    ledger.close()
    after = _peak_mib()
    figures["memory growth MiB"] = after - before if after is not None and before is not None else None
    return figures


def limit_of(name: str) -> float | None:
    return LIMITS.get(name.split()[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queue", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / "queue.db", args.rows)
    slow = [
        n for n, value in figures.items() if (limit := limit_of(n)) is not None and value is not None and value > limit
    ]
    if args.json:
        print(json.dumps({"rows": args.rows, "figures": figures, "limits": LIMITS, "slow": slow}))
    else:
        for name, value in figures.items():
            limit = limit_of(name)
            shown = (
                "-"
                if value is None
                else f"{value:.1f} MiB"
                if name.endswith("MiB")
                else f"{value:.2f} s"
                if value >= 1
                else f"{value * 1000:.1f} ms"
            )
            print(
                f"{name.removesuffix(' MiB'):24} "
                f"{shown:>12}{f'   limit {limit:g} s' if limit else ''}{'   TOO SLOW' if name in slow else ''}"
            )
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
