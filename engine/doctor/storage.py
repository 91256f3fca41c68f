"""The data folder and the caches in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

from engine.contract.disk import bytes_in
from engine.contract.errors import Phrase
from engine.contract.paths import home
from engine.doctor.checks import Check, format_bytes, make_check

LITTLE_DISK, LARGE_CACHE = 2 << 30, 20 << 30  # bytes


def data_folder() -> Iterator[Check]:
    """The data folder can be written, and its disk has room. The folder is not created here."""
    folder = existing = home().absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    label = Phrase("Data folder")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
        yield make_check("data-folder", label, "ok", str(folder))
    except OSError as e:
        advice = Phrase(
            "It cannot be written ({reason}). Make it writable, or set {variable} to another folder",
            reason=e.strerror or e,
            variable="COMMONART_HOME",
        )
        yield make_check("data-folder", label, "missing", str(folder), advice)
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return  # the check above has reported it
    little = free < LITTLE_DISK
    space = Phrase("Free some space: less than {size} is left", size=format_bytes(LITTLE_DISK)) if little else None
    yield make_check("disk", Phrase("Free disk space"), "warning" if little else "ok", format_bytes(free), space)


def caption_cache() -> Iterator[Check]:
    """How much disk the stored features of captions take."""
    folder = home() / "cache" / "text"
    total = bytes_in(folder)
    large = total > LARGE_CACHE
    advice = (
        Phrase("They may be deleted at any time and are created again when needed: {path}", path=folder)
        if large
        else None
    )
    yield make_check(
        "text-cache", Phrase("Stored text features"), "warning" if large else "ok", format_bytes(total), advice
    )
