"""Slow work of the compose side, for background threads: files, programs, and thousands of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commonart_desktop.core.compose import PromptOrder, requests_into
from commonart_desktop.core.process import program
from engine.contract import template
from engine.contract.errors import NoRecipe, Phrase
from engine.contract.ledger.ledger import Ledger
from engine.contract.other_tools import sampler_named
from engine.contract.paths import home
from engine.contract.recipe import request_of
from engine.contract.request import MAX_SEED, ImageRequest

PRIORITY_NOW = 10  # of "make one now": ahead of what was queued before


def wildcards() -> list[Path]:
    """Folders of wildcard files, even if they do not exist, so that an error names where the files belong."""
    return [home() / "wildcards"]


# the queue --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AddedJob:
    """A job that was added to the ledger."""

    job: int
    count: int
    last_seed: int
    stranded: int  # rows that a crashed run left: then the engine is not started automatically
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
    """Compose and add one job, all or nothing, over a connection of its own so as not to block others.

    ``now`` adds a single image ahead of everything that waits.

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
    """Undo ``enqueue``: waiting images are removed, running ones cancelled, finished ones stay. Returns how many."""
    book = Ledger(ledger)
    try:
        removed = book.remove(job)
        if any(j.id == job and j.running for j in book.jobs()):
            removed += book.set_state([job], ["running"], "cancelled")
        return removed
    finally:
        book.close()


# preview ----------------------------------------------------------------------------------------------------------


def preview(text: str, count: int, seed: int) -> tuple[int, str]:
    """How many images a prompt expands to, and the text of the first.

    Raises:
        BadTemplate, BadFile
    """
    folders = wildcards()
    total = template.count_combinations(text, folders) * count
    return total, next(template.expand(text, count=1, seed=seed, wildcards=folders)).text


def settings_of_image(path: str) -> dict[str, Any]:
    """The settings an image was generated with, as values of the compose form; never a path.

    Raises:
        BadFile, NoRecipe, BadValue
    """
    found = program("engine.output", ["show", path])
    if found["recipe"] is not None:
        return settings_of_request(request_of(found["recipe"]))
    return settings_of_parameters(found["read"], path)


def settings_of_request(r: ImageRequest) -> dict[str, Any]:
    """The form's values for generating exactly this image again; the model by name."""
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
    """The supported settings in another program's ``ImageParameters`` (as JSON). Raises NoRecipe."""
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
