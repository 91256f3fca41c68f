"""Wildcard files: where they are found, and the lines to choose from, each with its weight.

A line is a prompt template. ``3::red`` is taken three times as often as a line without a weight; lines that begin with
``#`` are comments, ``\\#`` is the sign itself. The encoding is that of prompt files (``text_encoding``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import BadFile, BadTemplate, Phrase
from engine.contract.promptfile import Note, without_comment
from engine.contract.text_encoding import CODING_LINE, decode

MAX_WILDCARD_BYTES = 5_000_000
WEIGHT = re.compile(r"\s*(-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))::")
#: other programs' way to take several options at once
SEVERAL = re.compile(r"\s*(?:[0-9]+(?:-[0-9]*)?|-[0-9]+)\$\$")


@dataclass(frozen=True, slots=True)
class WildcardLine:
    """A line to choose: its number in the file (1-based), its weight, and the template."""

    number: int
    weight: float
    text: str


def bad_template(template: str, why: Phrase) -> BadTemplate:
    """The error, with no more of the template than a person reads."""
    return BadTemplate(template=template if len(template) <= 80 else template[:79] + "…", why=why)


class WildcardFiles:
    """The files of some folders; the first folder that has a name is taken."""

    def __init__(self, folders: Sequence[Path], encoding: str | None = None, note: Note | None = None) -> None:
        self.folders = [Path(folder) for folder in folders]
        self.encoding, self.note = encoding, note

    def lines(self, name: str, quoted: str) -> list[WildcardLine]:
        """The lines of the wildcard ``name`` that are no comments. ``quoted`` is how an error quotes the template.

        Raises:
            BadTemplate: there is no such file, or it is not within the folders. BadFile: it cannot be read, holds no
                line, or its weights cannot be used.
        """
        path = self.find(name, quoted)
        found: list[WildcardLine] = []
        doubtful = comments = 0
        for number, line in enumerate(re.split(r"\r\n|\r|\n", self._text(path)), 1):
            text = without_comment(line)
            if text is None:
                comments += not (number == 1 and CODING_LINE.match(line))
                doubtful += re.match(r"\s*#[^\s#!]", line) is not None and not CODING_LINE.match(line)
            elif text:
                weight = WEIGHT.match(text)
                text = text[weight.end() :].strip() if weight else text
                if weight and float(weight[1]) < 0:
                    raise BadFile(
                        path=str(path), why=Phrase("the weight in line {line} must be a number from 0 up", line=number)
                    )
                found.append(WildcardLine(number, float(weight[1]) if weight else 1.0, text))
        if not found and comments:
            raise BadFile(
                path=str(path),
                why=Phrase(
                    "it has no line to choose from: all its {n} lines are comments; \\# begins one with #", n=comments
                ),
            )
        if not found:
            raise BadFile(path=str(path), why=Phrase("it has no line to choose from"))
        if not 0 < sum(line.weight for line in found) < float("inf"):
            raise BadFile(path=str(path), why=Phrase("its weights must have a finite sum above 0"))
        if doubtful and self.note is not None:
            self.note(
                Phrase(
                    "{path}: {n} line(s) that begin with # were skipped as comments; "
                    "a prompt that begins with # is written \\#",
                    path=str(path),
                    n=doubtful,
                )
            )
        return found

    def find(self, name: str, quoted: str) -> Path:
        """The file of a wildcard. Raises BadTemplate."""
        # A colon is a drive or a stream on Windows.
        if any(part in ("", ".", "..") for part in name.split("/")) or re.search(r"[\\:\0]", name):
            raise bad_template(
                quoted, Phrase("the wildcard name {name} must stay within the wildcard folder", name=repr(name))
            )
        for folder in self.folders:
            # Some systems and archives spell a letter with its mark as two characters.
            for form in dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))):
                try:
                    path = folder / (form + ".txt")
                    if not path.is_file():
                        continue
                    inside = path.resolve().is_relative_to(folder.resolve())
                except (OSError, ValueError, RuntimeError):  # a name too long or not encodable here, a loop of links
                    continue
                if not inside:
                    raise bad_template(
                        quoted, Phrase("the wildcard {name} is a link out of the wildcard folder", name=repr(name))
                    )
                return path
        if not self.folders:
            raise bad_template(
                quoted, Phrase("there is no wildcard {name}, because no wildcard folder is known", name=repr(name))
            )
        raise bad_template(
            quoted,
            Phrase(
                "there is no wildcard {name} in {folders}", name=repr(name), folders=", ".join(map(str, self.folders))
            ),
        )

    def _text(self, path: Path) -> str:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_WILDCARD_BYTES + 1)
        except OSError as error:
            raise BadFile(path=str(path), why=Phrase("the system says: {error}", error=str(error.strerror))) from error
        if len(data) > MAX_WILDCARD_BYTES:
            raise BadFile(path=str(path), why=Phrase("it is larger than {n} MB", n=MAX_WILDCARD_BYTES // 1_000_000))
        return unicodedata.normalize("NFC", decode(data, path, self.encoding))
