"""What the compose side does away from the window's thread: files, programs, and thousands of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.compose import PromptOrder, requests_into
from commonart_desktop.core.process import program
from engine.contract import template
from engine.contract.errors import NoRecipe
from engine.contract.ledger.ledger import Ledger
from engine.contract.other_tools import sampler_named
from engine.contract.paths import home
from engine.contract.recipe import request_of
from engine.contract.request import MAX_SEED, ImageRequest

PRIORITY_NOW = 10  # of "make one now": ahead of what was queued before


def wildcards() -> list[Path]:
    """Folders of wildcard files; also one not made yet, so that an error tells where it belongs."""
    return [home() / "wildcards"]


# the queue --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddedJob:
    """A job that is in the ledger now."""

    job: int
    count: int
    last_seed: int
    stranded: int  # rows a crashed run left: then the engine is not started by itself
    paused: bool
    notes: tuple[Phrase, ...] = ()  # of a prompt file: columns that are no settings, comments


def enqueue(
    ledger: Path,
    name: str,
    wanted: Iterable[PromptOrder],
    base: dict[str, Any],
    *,
    count: int,
    seed: int | None,
    now: bool = False,
    notes: list[Phrase] | None = None,
) -> AddedJob:
    """Compose and add one job over a connection of its own, so that nobody else waits; all of it or nothing.

    ``now`` adds a single picture ahead of everything that waits.

    Raises:
        CommonArtError: see ``requests_into`` and ``Ledger``.
    """
    notes = [] if notes is None else notes  # ``wanted`` may add to it while it is read
    requests = requests_into(
        Path(base["out"]),
        wanted,
        base,
        source=name,
        count=count,
        seed=seed,
        wildcards=wildcards(),
        note=notes.append,
        limit=1 if now else None,
    )
    book = Ledger(ledger)
    try:
        highest = max((j.priority for j in book.jobs() if j.waiting), default=0)
        job = book.add_job(name, requests, priority=max(PRIORITY_NOW, highest) if now else 0)
        said = tuple(dict.fromkeys(notes))
        return AddedJob(job, len(requests), requests[-1].seed, len(book.stranded()), book.paused()[0], said)
    finally:
        book.close()


def take_back(ledger: Path, job: int) -> int:
    """Undo of ``enqueue``: what waits goes, what is being made is cancelled, what is done stays. Returns how many went."""
    book = Ledger(ledger)
    try:
        gone = book.remove(job)
        if any(j.id == job and j.running for j in book.jobs()):
            gone += book.set_state([job], ["running"], "cancelled")
        return gone
    finally:
        book.close()


# looking ----------------------------------------------------------------------------------------------------------


def preview(text: str, count: int, seed: int) -> tuple[int, str]:
    """How many pictures a prompt stands for, and the first one's text.

    Raises:
        BadTemplate, BadFile
    """
    folders = wildcards()
    total = template.count_combinations(text, folders) * count
    return total, next(template.expand(text, count=1, seed=seed, wildcards=folders)).text


def settings_of_picture(path: str) -> dict[str, Any]:
    """The settings a picture was made with, as the compose form takes them; never a place on a disk.

    Raises:
        BadFile, NoRecipe, BadValue
    """
    found = program("engine.output", ["show", path])
    if found["recipe"] is not None:
        return settings_of_request(request_of(found["recipe"]))
    return settings_of_parameters(found["read"], path)


def settings_of_request(r: ImageRequest) -> dict[str, Any]:
    """The form's values for making this very picture again; the model by name."""
    return {
        "prompt": r.prompt if template.is_plain(r.prompt) else template.escape(r.prompt),
        "negative": r.negative,
        "model": r.model,
        "width": r.width,
        "height": r.height,
        "steps": r.steps,
        "guidance": float(r.guidance),
        "sampler": r.sampler,
        "seed_mode": "fixed",
        "seed": str(r.seed),
        "count": 1,
        "preset": r.preset,
        "loras": [list(pair) for pair in r.loras],
        "lora_merged": r.lora_merged,
        "dtype": r.dtype,
        "deterministic": r.deterministic,
        "format": r.format,
    }


def settings_of_parameters(read: dict[str, Any] | None, path: str) -> dict[str, Any]:
    """What another program says of an image (``ImageParameters`` as JSON) and this one knows. Raises NoRecipe."""
    if read is None:
        raise NoRecipe(path=path)
    given, prompt = read["settings"], read["prompt"]
    values: dict[str, Any] = {
        "prompt": template.escape(prompt) if not template.is_plain(prompt) else prompt,
        "negative": read["negative"],
        "count": 1,
    }
    sampler = sampler_named(given.get("sampler", ""), given.get("schedule", ""))
    if sampler is not None:
        values["sampler"] = sampler
    if all(16 <= given.get(side, 0) <= 8192 for side in ("width", "height")):
        values |= {"width": given["width"], "height": given["height"]}
    values |= {
        name: given[name] for name, most in (("steps", 1000), ("guidance", 100)) if 1 <= given.get(name, 0) <= most
    }
    if 0 <= given.get("seed", -1) <= MAX_SEED:
        values |= {"seed_mode": "fixed", "seed": str(given["seed"])}
    return values
