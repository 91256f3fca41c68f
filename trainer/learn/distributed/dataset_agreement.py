"""Training on several machines: each checks the images that it reads, and all must have the same ones."""

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
    """Run the licence gate in the first process, and in the first of every machine that reads other files.

    Returns the reports in the first process; the others wait and return none.

    Raises:
        GateClosed: an image may not be used for training; it is named. ``SystemExit``: another process reports the
        reason.
    """
    identities = processes.gather(_fingerprint(config) if processes.machines > 1 and processes.first_here else "")
    own_files = (
        processes.first_here
        and processes.machine > 0
        and (identities[processes.rank] != identities[0] or not identities[0])
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
        raise failure  # the watchdog informs the others, and the first process the user
    if processes.any(failure is not None):
        raise failure or SystemExit(1)
    return reports


def _fingerprint(config: Config) -> str:
    """Fingerprint of the files' identities, not contents: equal only if two machines see the same shared folder.

    Empty if the file system has no file identities.
    """
    digest = hashlib.sha256()
    for one in config.dataset:
        for folder, folders, files in os.walk(one.folder):
            folders.sort()
            for name in sorted(files):
                path = Path(folder, name)
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
    """Check that all machines train on the same images and captions with the same model.

    Raises:
        MachinesDiffer: one has others; it is named.
    """
    if processes.machines == 1:
        return

    def sum_of(data: Any) -> str:
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode("ascii")).hexdigest()

    rows = [
        [i.sha256, i.bucket, i.weight, i.english, i.japanese]
        for i in [*info.collection.train, *info.collection.heldout]
    ]
    fingerprints = processes.gather([sum_of(info.hashes), sum_of(rows), info.config.sha256])
    for n, what in enumerate((Phrase("model"), Phrase("images and captions"), Phrase("configuration"))):
        for rank, sums in enumerate(fingerprints):
            if sums[n] != fingerprints[0][n]:
                raise MachinesDiffer(host=processes.hosts[rank], what=what, first=processes.hosts[0])


def companions(processes: Processes) -> tuple[int, int]:
    """(index, count) of this process among those that share a feature cache.

    Each encodes its part, all read everything.

    Machines find out by files with new random names, which network file systems cannot have cached as missing.
    """
    if processes.machines == 1:
        return processes.rank, processes.world
    folder = home() / "cache"
    token = processes.share(secrets.token_hex(8))
    own_file = folder / f".{token}-{processes.machine}"
    if processes.first_here:
        folder.mkdir(parents=True, exist_ok=True)
        own_file.touch()
    processes.wait()
    seen = [m for m in range(processes.machines) if (folder / f".{token}-{m}").exists()]
    views = processes.gather(seen)
    if processes.first_here:
        own_file.unlink(missing_ok=True)
    ranks = [r for r in range(processes.world) if processes.machine_of[r] in seen]
    if any(views[r] != seen for r in ranks):  # not mutual: every machine by itself
        ranks = [r for r in range(processes.world) if processes.machine_of[r] == processes.machine]
    return ranks.index(processes.rank), len(ranks)
