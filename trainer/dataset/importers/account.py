"""Accounts for every file of an import: imported, read as a record, or skipped with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.contract.errors import Phrase
from trainer.dataset.images import OTHERS
from trainer.dataset.importers.source import Skipped


@dataclass
class Account:
    """``total`` counts files, archive members, images inside tables, and rows whose image is missing.

    At the end ``total`` is the images imported or present already, plus ``read``, plus the skipped ones.
    """

    total: int = 0
    read: int = 0
    skipped: Skipped = field(default_factory=Skipped)

    def skip(self, name: str, why: Phrase) -> None:
        """Record a skipped file that is part of ``total`` already."""
        self.skipped.add(name, why)

    def lost_row(self, name: str, why: Phrase) -> None:
        """Record a row whose image is missing."""
        self.total += 1
        self.skipped.add(name, why)

    def add(self, other: Account) -> None:
        """Add the counts of another account."""
        self.total += other.total
        self.read += other.read
        for template, (why, names, count) in other.skipped.reasons.items():
            phrase, before, number = self.skipped.reasons.get(template, (why, [], 0))
            self.skipped.reasons[template] = (phrase, [*before, *names][:20], number + count)


def why_left_out(name: str) -> Phrase:
    """Why a file that no importer used was skipped, by its name."""
    low = name.lower()
    if any(part.startswith(".") for part in name.split("/")):
        return Phrase("it is hidden: its name, or its folder's, begins with a dot")
    if low.endswith(OTHERS):
        return Phrase("images of this format cannot be read here; save it as PNG or JPEG")
    if low.endswith((".txt", ".caption", ".json", ".xmp", ".license")):
        return Phrase("it belongs to no image that is here")
    return Phrase("it is neither an image nor a record of one")
