"""What became of everything that an import came across: taken in, read as a record, or left out with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.contract.errors import Phrase
from trainer.dataset.importers.source import Skipped
from trainer.dataset.pictures import OTHERS


@dataclass
class Account:
    """``found`` counts files, members of archives, images inside tables, and rows that name no image that is there.

    At the end ``found`` is what was taken in or there already, plus ``read``, plus what was left out.
    """

    found: int = 0
    read: int = 0
    skipped: Skipped = field(default_factory=Skipped)

    def skip(self, name: str, why: Phrase) -> None:
        """Left out; it was counted as found before."""
        self.skipped.add(name, why)

    def lost_row(self, name: str, why: Phrase) -> None:
        """A row without its image."""
        self.found += 1
        self.skipped.add(name, why)

    def add(self, other: Account) -> None:
        """What another account holds too."""
        self.found += other.found
        self.read += other.read
        for template, (why, names, count) in other.skipped.reasons.items():
            phrase, before, number = self.skipped.reasons.get(template, (why, [], 0))
            self.skipped.reasons[template] = (phrase, [*before, *names][:20], number + count)


def why_left_out(name: str) -> Phrase:
    """Why a file that nothing asked for was left out, by its name."""
    low = name.lower()
    if any(part.startswith(".") for part in name.split("/")):
        return Phrase("it is hidden: its name, or its folder's, begins with a dot")
    if low.endswith(OTHERS):
        return Phrase("images of this format cannot be read here; save it as PNG or JPEG")
    if low.endswith((".txt", ".caption", ".json", ".xmp", ".license")):
        return Phrase("it belongs to no image that is here")
    return Phrase("it is neither an image nor a record of one")
