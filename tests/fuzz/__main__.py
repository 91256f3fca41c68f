"""``python -m tests.fuzz [--minutes M] [TARGET...]``: each target for that long, one after the other, in a process of
its own.

Prints cases, seconds and faults of each; a fault's smallest files are kept in ``outputs/fuzz``. ``--again FOLDER
TARGET`` reads one once more.
Exit status: 0 nothing found, 1 faults found, 2 asked wrongly.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.core import Crash, Target, fuzz, keep, once, put, surroundings
from tests.fuzz.targets import TARGETS
from tests.support.paths import ROOT

MEMORY_DISK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # thousands of small files a minute
NAMES = {t.name: t for t in TARGETS}


def _one(target: Target, seconds: float, seed: int, work: Path, place: Path) -> int:
    """The child: one target, its figures as JSON on standard output."""
    result = fuzz(target, work, seconds=seconds, seed=seed)
    kept = [str(keep(crash, target.name, place)) for crash in result.crashes]
    data = asdict(result) | {"crashes": [{"key": c.key, "kept": k} for c, k in zip(result.crashes, kept, strict=True)]}
    print(json.dumps(data))
    return 0


def _parent(target: Target, seconds: float, seed: int, place: Path) -> int:
    """How many faults; a process that dies is one, and its last case is kept."""
    with tempfile.TemporaryDirectory(prefix="commonart-fuzz-", dir=MEMORY_DISK) as work:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            "--child",
            "--seconds",
            str(seconds),
            "--seed",
            str(seed),
            "--out",
            str(place),
            "--work",
            work,
            target.name,
        ]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                timeout=seconds + 600,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            data = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
            died = f"exit status {done.returncode}"
        except subprocess.TimeoutExpired:
            data, died = None, "it does not end"
        if data is None:
            case = Path(work, "case")
            files = (
                {p.relative_to(case).as_posix(): p.read_bytes() for p in case.rglob("*") if p.is_file()}
                if case.is_dir()
                else {}
            )
            kept = keep(Crash(f"process {died}", died, files), target.name, place)
            print(f"{target.name:10} the process died ({died}); its last case: {kept}", flush=True)
            return 1
    print(
        f"{target.name:10} {data['cases']:8} cases {data['seconds']:7.1f} s  {data['answered']:7} answered "
        f"{data['refused']:7} refused  "
        f"slowest {data['slowest']:.2f} s  {len(data['crashes'])} faults",
        flush=True,
    )
    for crash in data["crashes"]:
        print(f"           {crash['key']}\n             {crash['kept']}", flush=True)
    return len(data["crashes"])


def _again(folder: Path, target: Target) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="commonart-fuzz-", dir=MEMORY_DISK) as work,
        surroundings(Path(work), target),
    ):
        source = folder / "files" if (folder / "files").is_dir() else folder
        put(
            {p.relative_to(source).as_posix(): p.read_bytes() for p in source.rglob("*") if p.is_file()},
            Path(work, "case"),
        )
        try:
            print("answered" if once(target, Path(work, "case")) else "refused")
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", metavar="TARGET", nargs="*", choices=[[], *NAMES], help=", ".join(NAMES))
    parser.add_argument("--minutes", type=float, default=10.0, help="of each target (10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "fuzz", help="where faults are kept")
    parser.add_argument(
        "--again", metavar="FOLDER", type=Path, help="read the files of one fault again, with its TARGET"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    wanted = [NAMES[n] for n in args.targets] or list(TARGETS)
    if args.child:
        return _one(wanted[0], args.seconds, args.seed, args.work, args.out)
    if args.again:
        if len(args.targets) != 1:
            parser.error("--again takes one TARGET")
        return _again(args.again, wanted[0])
    shutil.rmtree(args.out, ignore_errors=True)
    faults = sum(_parent(target, args.minutes * 60, args.seed, args.out) for target in wanted)
    print(f"{len(wanted)} targets, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
