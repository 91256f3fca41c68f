"""Prompts in a file: .txt (one a line), .csv and .tsv (a column ``prompt``), .jsonl (one object a line).

In a .txt, lines that begin with ``#`` are comments. A column by the name of another program's setting is that setting
here (``other_tools``); one that is no setting is a field for file names.

A prompt file may come from anyone: it chooses prompts and settings, but never where anything is read or written.
"""

from __future__ import annotations

import csv
import json
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from engine.contract.errors import BadFile, BadRow, BadValue, Phrase
from engine.contract.other_tools import is_foreign, nearest_setting, setting_of
from engine.contract.prompt_columns import note_of, read_row, typed
from engine.contract.text_encoding import CODING_LINE, byte_order_mark, codec_of, coding_line, not_utf8

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl")
MAX_BYTES = 64_000_000
MAX_LETTERS = 20_000  # of one row
MAX_NOTED = 1000  # columns without a setting that are looked at for a note

DELIMITERS = "\t,;"  # that are recognised
_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line by which Excel names the delimiter
_OPTION = re.compile(r"--([A-Za-z][\w-]*)(?=[\s=]|$)")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")  # how surrogateescape marks a byte that could not be decoded


@dataclass(frozen=True)
class PromptRow:
    """A prompt of a file: the line (1-based) where its row starts, the template text, and the settings it gives.

    ``settings`` has only what the row sets, already of its type; ``extra`` in it holds the other columns as text.
    """

    line: int
    prompt: str
    settings: dict[str, Any] = field(default_factory=dict)


Note = Callable[[Phrase], None]  # is called with what a person should know that is no error


def read(
    path: Path, *, encoding: str | None = None, delimiter: str | None = None, note: Note | None = None
) -> Iterator[PromptRow]:
    """The rows of a prompt file in order, read as they are taken.

    A byte order mark decides the encoding; then ``encoding``; then a first line ``# coding: cp932``; else UTF-8.
    ``delimiter`` stands between the cells of a table; without it a first line ``sep=;`` names it, or the header shows
    it. ``note`` hears of columns that are no settings, and of how many comment lines were skipped.

    Raises:
        BadFile: at the call for a file that is missing, too large or of an unknown kind; while iterating for one that
            is not readable or in another encoding.
        BadRow: while iterating: a row that is too long or holds a value that cannot be used.
        BadValue: at the call: an unknown ``encoding``, an impossible ``delimiter``.
    """
    path = Path(path)
    if encoding is not None:
        codec_of(encoding)
    if delimiter is not None:
        delimiter = _checked_delimiter(delimiter)
    try:
        found = path.stat()
    except FileNotFoundError:
        raise BadFile(path=str(path), why=Phrase("there is no such file")) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise BadFile(path=str(path), why=Phrase("it is a folder"))
    if not stat.S_ISREG(found.st_mode):
        raise BadFile(path=str(path), why=Phrase("it is not an ordinary file"))
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadFile(path=str(path), why=Phrase("prompt files end in one of {known}", known=", ".join(SUFFIXES)))
    if found.st_size > MAX_BYTES:
        raise BadFile(path=str(path), why=Phrase("it is larger than {n} MB", n=MAX_BYTES // 1_000_000))
    return _rows(path, suffix, encoding, delimiter, note or _silent)


def _silent(_: Phrase) -> None:
    pass


def _checked_delimiter(text: str) -> str:
    found = _DELIMITER_NAMES.get(text.lower(), text)
    if len(found) != 1 or found.isalnum() or found in "\"'\r\n _" or not (found.isprintable() or found == "\t"):
        raise BadValue(
            name="delimiter",
            value=repr(text),
            why=Phrase("it must be one sign, such as {example}", example=", ; | tab"),
        )
    return found


def _rows(path: Path, suffix: str, encoding: str | None, delimiter: str | None, note: Note) -> Iterator[PromptRow]:
    try:
        with path.open("rb") as raw:
            head = raw.read(200)
        codec = byte_order_mark(head) or (codec_of(encoding) if encoding is not None else coding_line(head, path))
        # newline="" keeps the line ends as the csv module needs them.
        with path.open(encoding=codec or "utf-8-sig", errors="surrogateescape", newline="") as file:
            lines = _Lines(path, file, codec or "utf-8-sig")
            if suffix == ".txt":
                yield from _txt(lines, note)
            elif suffix == ".jsonl":
                yield from _jsonl(lines, note)
            else:
                yield from _table(lines, delimiter, note)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BadFile:
    said = getattr(error, "strerror", None) or str(error)
    return BadFile(path=str(path), why=Phrase("the system says: {error}", error=said))


class _Lines:
    """The lines of a file with their ends, decoded and checked, without the one that names the coding.

    ``number`` is that of the last line given, ``last`` its text, ``start`` that of the line where the present row
        starts: the row that
    ``new_row`` began. A row is refused when it grows too long, before more of it is read.
    """

    def __init__(self, path: Path, file: TextIO, encoding: str) -> None:
        self.path, self.file, self.encoding = path, file, encoding
        self.number, self.start, self.letters, self.last = 0, 1, 0, ""

    def new_row(self) -> None:
        self.start, self.letters = self.number + 1, 0

    def bad(self, why: Phrase) -> BadRow:
        return BadRow(path=str(self.path), line=self.start, why=why)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.number += 1
        try:
            line = self.file.readline(MAX_LETTERS + 3)  # one letter too many, and \r\n
        except UnicodeError:  # UTF-16 has no way to mark single bytes
            raise BadRow(
                path=str(self.path),
                line=self.number,
                why=Phrase("here or soon after it is not valid {encoding}", encoding="UTF-16"),
            ) from None
        if not line:
            raise StopIteration
        if _ESCAPED_BYTE.search(line):
            if self.encoding == "utf-8-sig":
                raise not_utf8(self.path, self.number)
            raise BadRow(
                path=str(self.path), line=self.number, why=Phrase("it is not valid {encoding}", encoding=self.encoding)
            )
        if self.number == 1 and CODING_LINE.match(line):
            self.start = 2
            return next(self)
        self.letters += len(line.rstrip("\r\n"))
        if self.letters > MAX_LETTERS:
            raise self.bad(Phrase("the row is longer than {n} letters", n=MAX_LETTERS))
        self.last = line
        return line

    def text(self, name: str, value: str) -> str:
        """Text as the program keeps it: NFC, line ends as \\n.

        Raises:
            BadRow: a control character, or half of a surrogate pair.
        """
        found = _CONTROL.search(value)
        if found:
            raise self.bad(
                Phrase("{name} holds the control character {code}", name=name, code=f"U+{ord(found[0]):04X}")
            )
        return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))


def without_comment(line: str) -> str | None:
    """The prompt in a line of a text file or wildcard file.

    None for a comment, which ``#`` begins, ``\\#`` does not.
    """
    text = line.strip()
    if text.startswith("#"):
        return None
    return text[1:] if text.startswith("\\#") else text


def _txt(lines: _Lines, note: Note) -> Iterator[PromptRow]:
    comments = 0
    lines.new_row()
    for line in lines:
        text = without_comment(line)
        if text is None:
            comments += 1
        elif text:
            option = _OPTION.match(text)
            if option and (setting_of(option[1]) or is_foreign(option[1])):
                raise lines.bad(
                    Phrase(
                        "it begins with the option {name}; a line of a .txt is a prompt alone, settings are columns "
                        "of a .csv",
                        name="--" + option[1],
                    )
                )
            yield PromptRow(lines.start, lines.text("prompt", text))
        lines.new_row()
    if comments:
        note(
            Phrase(
                "{path}: {n} line(s) that begin with # were skipped as comments; a prompt that begins with # is "
                "written \\#",
                path=str(lines.path),
                n=comments,
            )
        )


def _jsonl(lines: _Lines, note: Note) -> Iterator[PromptRow]:
    seen: set[str] = set()
    lines.new_row()
    for line in lines:
        if line.strip():
            try:
                row = json.loads(line, object_pairs_hook=_once)
            except RecursionError:
                raise lines.bad(Phrase("it nests too deep")) from None
            except _Twice as error:
                raise lines.bad(Phrase("the column {name} is there twice", name=repr(str(error)))) from None
            except ValueError as error:
                raise lines.bad(Phrase("it is not JSON: {error}", error=str(error))) from None
            if not isinstance(row, dict):
                raise lines.bad(Phrase("it is not a JSON object"))
            values = {key: value for key, value in row.items() if value is not None}
            prompt, settings = read_row(values, lines.bad, lines.text)
            _note_columns(lines, values, seen, note)
            yield PromptRow(lines.start, prompt, settings)
        lines.new_row()


class _Twice(ValueError):
    """A JSON object has a key twice: which of the two is meant is not clear."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _Twice(key)
        made[key] = value
    return made


def _note_columns(lines: _Lines, columns: Iterable[str], seen: set[str], note: Note) -> None:
    for name in columns:
        if name not in seen and len(seen) < MAX_NOTED and setting_of(name) is None:
            seen.add(name)
            said = note_of(str(lines.path), name)
            if said is not None:
                note(said)


def _table(lines: _Lines, delimiter: str | None, note: Note) -> Iterator[PromptRow]:
    line = _first_line(lines)
    said = _SEP.fullmatch(line.strip(" \r\n")) if line else None
    if said is not None:
        delimiter = delimiter or said[1]
        line = _first_line(lines)
    if not line:
        return
    given = delimiter is not None
    header, delimiter = _header(lines, line, delimiter)
    _note_columns(lines, filter(None, header), set(), note)
    reader = csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        lines.new_row()
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise lines.bad(Phrase("it is not proper CSV: {error}", error=str(error))) from None
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        prompt, settings = _cells(lines, header, cells)
        if not given and len(cells) == 1 and len(header) > 1:
            _check_delimiter(lines, header, delimiter)
        yield PromptRow(lines.start, prompt, settings)


def _first_line(lines: _Lines) -> str:
    """The next line that is not empty; "" at the end of the file."""
    lines.new_row()
    for line in lines:
        if line.strip():
            return line
        lines.new_row()
    return ""


def _header(lines: _Lines, line: str, delimiter: str | None) -> tuple[list[str], str]:
    """The columns, and the delimiter between them: ``delimiter`` where it is known, else the one that gives a column
    ``prompt``."""
    header: list[str] = []
    names: list[str] = []
    for each in delimiter or DELIMITERS:
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=each, skipinitialspace=True))]
        except csv.Error:
            continue
        if any(setting_of(name) == "prompt" for name in names) and len(names) > len(header):
            header, delimiter = names, each
    if not header or delimiter is None:
        names = [name.strip() for name in re.split(r"[\t,;]", line)]
        near = next((name for name in names if setting_of(name) is None and nearest_setting(name) == "prompt"), "")
        if near:
            raise lines.bad(
                Phrase("the header has no column {name}; {near} is nearly one", name="prompt", near=repr(near))
            )
        raise lines.bad(
            Phrase(
                "the header has no column {name}; if other signs than , ; and tab stand between the columns, "
                "say which with --delimiter",
                name="prompt",
            )
        )
    bare = [setting_of(name) or name for name in header if name]
    twice = next((name for name in bare if bare.count(name) > 1), None)
    if twice is not None:
        raise lines.bad(Phrase("the column {name} is there twice", name=repr(twice)))
    return header, delimiter


def _cells(lines: _Lines, header: list[str], cells: list[str]) -> tuple[str, dict[str, Any]]:
    if any(cells[len(header) :]) or any(cell and not name for name, cell in zip(header, cells, strict=False)):
        raise lines.bad(
            Phrase("it has a value without a column; a value with the delimiter in it stands in double quotes")
        )
    values = {name: typed(setting_of(name), cell) for name, cell in zip(header, cells, strict=False) if cell}
    return read_row(values, lines.bad, lines.text)


def _check_delimiter(lines: _Lines, header: list[str], delimiter: str) -> None:
    """Refuse a row of one cell that would be a whole row under another delimiter: which is meant is not clear."""
    for other in DELIMITERS.replace(delimiter, ""):
        try:
            cells = [cell.strip() for cell in next(csv.reader([lines.last], delimiter=other, skipinitialspace=True))]
            if len(cells) != len(header):
                continue
            _cells(lines, header, cells)
        except (csv.Error, BadRow):
            continue  # it makes no sense that way
        raise lines.bad(
            Phrase(
                "its values could be separated by {other}, those of the header are by {delimiter}; say which with "
                "--delimiter",
                other=repr(other),
                delimiter=repr(delimiter),
            )
        )
