"""Several machines, with or without a folder that all see: every one judges the pictures that it reads, and all must have the same."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import CommonArtError, MachinesDiffer, Phrase
from engine.contract.paths import home
from trainer.config import Config
from trainer.dataset.licence.report import GateReport
from trainer.learn.distributed.processes import Processes
from trainer.learn.prepare import RunInfo, check_dataset, check_dataset_here

Progress = Callable[[str, int, int], None]


def check_all_datasets(config: Config, out: Path, processes: Processes, progress: Progress) -> tuple[GateReport, ...]:
    """The licence gate in the first process, and in the first of every machine that reads other files than it.

    Returns the reports in the first process, nothing in the others, which wait.

    Raises:
        GateClosed: a picture may not be learned from; it is named. ``SystemExit`` where another process was told why.
    """
    prints = processes.gather(_print(config) if processes.machines > 1 and processes.first_here else "")
    own_files = (
        processes.first_here and processes.machine > 0 and (prints[processes.rank] != prints[0] or not prints[0])
    )
    failure: Exception | None = None
    reports: tuple[GateReport, ...] = ()
    try:
        if processes.first:
            reports = check_dataset(config, out, progress)
        elif own_files:
            check_dataset_here(config, progress)
    except Exception as e:
        failure = e
    if isinstance(failure, CommonArtError) and not processes.first:
        raise failure  # the watch tells the others, and the first tells the user
    if processes.any(failure is not None):
        raise failure or SystemExit(1)
    return reports


def _print(config: Config) -> str:
    """One of the files themselves, not of what is in them: the same only where two machines look at one shared folder.

    Empty where the system gives files no identity.
    """
    digest = hashlib.sha256()
    for one in config.dataset:
        for place, folders, files in os.walk(one.folder):
            folders.sort()
            for name in sorted(files):
                path = Path(place, name)
                try:
                    s = path.stat()
                except OSError:
                    return ""
                if not s.st_ino:
                    return ""
                digest.update(
                    repr(
                        (path.relative_to(one.folder).as_posix(), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
                    ).encode("utf-8", "replace")
                )
    return digest.hexdigest()


def compare(info: RunInfo, processes: Processes) -> None:
    """Do all machines learn the same pictures and captions, on the same model?

    Raises:
        MachinesDiffer: one does not; it is named.
    """
    if processes.machines == 1:
        return

    def sum_of(data: Any) -> str:
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode("ascii")).hexdigest()

    rows = [
        [i.sha256, i.bucket, i.weight, i.english, i.japanese]
        for i in [*info.collection.train, *info.collection.heldout]
    ]
    told = processes.gather([sum_of(info.hashes), sum_of(rows), info.config.sha256])
    for n, what in enumerate((Phrase("model"), Phrase("images and captions"), Phrase("configuration"))):
        for rank, sums in enumerate(told):
            if sums[n] != told[0][n]:
                raise MachinesDiffer(host=processes.hosts[rank], what=what, first=processes.hosts[0])


def companions(processes: Processes) -> tuple[int, int]:
    """(number of this process, how many) among those that see the same feature cache: each encodes its share, all read all.

    Machines find out by files with a name that nobody has asked for before, which network disks do not remember as missing.
    """
    if processes.machines == 1:
        return processes.rank, processes.world
    folder = home() / "cache"
    word = processes.share(secrets.token_hex(8))
    mine = folder / f".{word}-{processes.machine}"
    if processes.first_here:
        folder.mkdir(parents=True, exist_ok=True)
        mine.touch()
    processes.wait()
    seen = [m for m in range(processes.machines) if (folder / f".{word}-{m}").exists()]
    views = processes.gather(seen)
    if processes.first_here:
        mine.unlink(missing_ok=True)
    ranks = [r for r in range(processes.world) if processes.machine_of[r] in seen]
    if any(views[r] != seen for r in ranks):  # seen from one side only: every machine for itself
        ranks = [r for r in range(processes.world) if processes.machine_of[r] == processes.machine]
    return ranks.index(processes.rank), len(ranks)
