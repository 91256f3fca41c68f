"""From the user's prompts to image requests, with everything random fixed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from engine.contract import naming, promptfile, template
from engine.contract.errors import BadRow, BadValue, CommonArtError, OutputFolder, Phrase, UsageError, system_words
from engine.contract.promptfile import Note
from engine.contract.request import ImageRequest, fixed_seed

MAX_PICTURES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PromptOrder:
    """One prompt as written, with the settings that differ from the base. ``source`` names the file and line."""

    prompt: str
    settings: dict[str, Any] = field(default_factory=dict)
    source: tuple[str, int] | None = None


def orders(
    prompts: Iterable[str],
    file: Path | None,
    encoding: str | None = None,
    delimiter: str | None = None,
    note: Note | None = None,
) -> Iterator[PromptOrder]:
    """Prompts given directly, then those of a file; see ``promptfile.read``.

    Raises:
        BadFile, BadRow, BadValue
    """
    for text in prompts:
        yield PromptOrder(prompt=text)
    if file is not None:
        for row in promptfile.read(file, encoding=encoding, delimiter=delimiter, note=note):
            yield PromptOrder(prompt=row.prompt, settings=row.settings, source=(str(file), row.line))


def compose(
    wanted: Iterable[PromptOrder],
    base: dict[str, Any],
    *,
    count: int = 1,
    seed: int | None = None,
    wildcards: Sequence[Path] = (),
    encoding: str | None = None,
    note: Note | None = None,
) -> Iterator[ImageRequest]:
    """The requests of each order: every ``[[combination]]``, ``count`` times.

    With a seed, the images of one combination get seed, seed + 1, ... for every prompt alike, so that prompts can be
    compared; without one, or with ``RANDOM_SEED``, each image draws its own. ``encoding`` is that of wildcard files
    that are not UTF-8, ``note`` hears of their doubtful lines. ``{a|b}`` and ``__name__`` are drawn here, once and for
    all.

    Raises:
        BadTemplate, BadValue, BadRow: with the file's line where there is one.
    """
    if not 1 <= count <= MAX_PICTURES:
        raise BadValue(
            name="count", value=count, why=Phrase("it must lie between {low} and {high}", low=1, high=MAX_PICTURES)
        )
    made = 0
    for order in wanted:
        settings = base | order.settings
        times, first = settings.pop("count", count), settings.pop("seed", seed)
        try:
            first = fixed_seed(first)
            draw_seed = random_seed() if first is None else first
            for e in template.expand(
                order.prompt, count=times, seed=draw_seed, wildcards=wildcards, encoding=encoding, note=note
            ):
                made += 1
                if made > MAX_PICTURES:
                    raise BadValue(
                        name="count",
                        value=made,
                        why=Phrase("it must lie between {low} and {high}", low=1, high=MAX_PICTURES),
                    )
                own = random_seed() if first is None else first + e.index % times
                request = ImageRequest(
                    prompt=e.text,
                    template=order.prompt if e.text != order.prompt else "",
                    draw=e.draw,
                    seed=own,
                    **settings,
                )
                naming.check(request.name or naming.DEFAULT, request.extra)
                yield request
        except BadRow:
            raise
        except CommonArtError as e:
            if order.source is None:
                raise
            raise BadRow(path=order.source[0], line=order.source[1], why=Phrase(e.message, **e.fields)) from e


def random_seed() -> int:
    """A random seed, short enough to be written down."""
    return secrets.randbelow(2**32)


def output_folder(folder: Path) -> Path:
    """The folder as requests name it: absolute, ``~`` expanded."""
    return folder.expanduser().absolute()


def requests_into(
    folder: Path,
    wanted: Iterable[PromptOrder],
    base: dict[str, Any],
    *,
    source: str | Path,
    count: int = 1,
    seed: int | None = None,
    wildcards: Sequence[Path] = (),
    encoding: str | None = None,
    note: Note | None = None,
    limit: int | None = None,
) -> list[ImageRequest]:
    """``compose`` for an output folder, which is created only once everything else is valid; at most ``limit`` images.

    Raises:
        UsageError: there is nothing to draw in ``source``, the file or job the prompts come from.
        CommonArtError: see ``compose`` and ``ready_folder``.
    """
    base = base | {"out": str(output_folder(folder))}
    composed = compose(wanted, base, count=count, seed=seed, wildcards=wildcards, encoding=encoding, note=note)
    requests = list(islice(composed, limit))
    if not requests:
        raise UsageError(why=Phrase("Nothing to draw: there is no prompt in {path}", path=source))
    ready_folder(folder)
    return requests


def ready_folder(folder: Path) -> Path:
    """The output folder, created if necessary and tested by writing to it; absolute.

    Raises:
        OutputFolder
    """
    folder = output_folder(folder)
    probe = folder / f".commonart-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as e:
        raise OutputFolder(path=folder, why=system_words(e)) from e
    return folder
