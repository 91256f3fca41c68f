"""Prompts in a file: .txt (one a line), .csv and .tsv (a column ``prompt``), .jsonl (one object a line).

A prompt file may come from anyone: it chooses prompts and settings, but never where anything is read or written.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from engine.contract.errors import BadFile, BadRow, BadValue, Phrase
from engine.contract.request import DTYPES, FORMATS, MAX_SEED, PRESETS, SAMPLERS

SUFFIXES = (".txt", ".csv", ".tsv", ".jsonl")
MAX_BYTES = 64_000_000
MAX_LETTERS = 20_000  # of one row
MAX_COUNT = 1_000_000

WHOLE = {"seed": (0, MAX_SEED), "count": (1, MAX_COUNT), "steps": (1, 1000), "width": (16, 8192), "height": (16, 8192)}
CHOICES = {"sampler": SAMPLERS, "dtype": DTYPES, "format": FORMATS, "preset": PRESETS}
PLAIN_NAMES = ("model", "name")
REFUSED = ("out", "text_encoder", "vae")

_CODING = re.compile(r"#[ \t]*(?:-\*-[ \t]*)?coding[ \t]*[:=][ \t]*([-\w.]+)")
_ENCODINGS = {
    "utf8": "utf-8-sig",
    "utf8sig": "utf-8-sig",
    # What is called Shift JIS is nearly always Microsoft's wider form of it.
    **dict.fromkeys(("cp932", "ms932", "windows31j", "sjis", "shiftjis"), "cp932"),
}
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


def read(path: Path, *, encoding: str | None = None) -> Iterator[PromptRow]:
    """The rows of a prompt file in order, read as they are taken.

    A byte order mark decides the encoding; then ``encoding``; then a first line ``# coding: cp932``; else UTF-8.

    Raises:
        BadFile: at the call for a file that is missing, too large or of an unknown kind; while iterating for one that
            is not readable or in another encoding.
        BadRow: while iterating: a row that is too long or holds a value that cannot be used.
        BadValue: at the call: an unknown ``encoding``.
    """
    path = Path(path)
    if encoding is not None and _known(encoding) is None:
        raise BadValue(
            name="encoding",
            value=encoding,
            why=Phrase(
                "choose one of {known}; UTF-16 is known by its byte order mark", known="utf-8, cp932, shift_jis"
            ),
        )
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
    return _rows(path, suffix, encoding)


def _rows(path: Path, suffix: str, encoding: str | None) -> Iterator[PromptRow]:
    kind = {".txt": _txt, ".jsonl": _jsonl}.get(suffix, _table)
    try:
        name = _encoding(path, encoding)
        # newline="" keeps the line ends as the csv module needs them.
        with path.open(encoding=name, errors="surrogateescape", newline="") as file:
            yield from kind(_Lines(path, file, name))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> BadFile:
    said = getattr(error, "strerror", None) or str(error)
    return BadFile(path=str(path), why=Phrase("the system says: {error}", error=said))


def _known(name: str) -> str | None:
    return _ENCODINGS.get(re.sub(r"[-_\s]", "", name.lower()))


def _encoding(path: Path, given: str | None) -> str:
    with path.open("rb") as file:
        head = file.read(200)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if given is not None:
        return _known(given) or "utf-8-sig"
    said = _CODING.match(head.decode("latin-1"))
    if said is None:
        return "utf-8-sig"
    name = _known(said[1])
    if name is None:
        raise BadFile(
            path=str(path),
            why=Phrase(
                "its first line names the unknown coding {name}; known are {known}",
                name=said[1],
                known="utf-8, cp932, shift_jis",
            ),
        )
    return name


class _Lines:
    """The lines of a file with their ends, decoded and checked, without the one that names the coding.

    ``number`` is that of the last line given, ``start`` that of the line where the present row starts: the row that
    ``new_row`` began. A row is refused when it grows too long, before more of it is read.
    """

    def __init__(self, path: Path, file: TextIO, encoding: str) -> None:
        self.path, self.file, self.encoding = path, file, encoding
        self.number, self.start, self.letters = 0, 1, 0

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
                raise BadFile(
                    path=str(self.path),
                    why=Phrase(
                        "line {line} is not valid UTF-8; if it is Shift JIS (cp932), say so with `# coding: cp932` in the "
                        "first line or with --encoding cp932",
                        line=self.number,
                    ),
                )
            raise BadRow(
                path=str(self.path), line=self.number, why=Phrase("it is not valid {encoding}", encoding=self.encoding)
            )
        if self.number == 1 and _CODING.match(line):
            self.start = 2
            return next(self)
        self.letters += len(line.rstrip("\r\n"))
        if self.letters > MAX_LETTERS:
            raise self.bad(Phrase("the row is longer than {n} letters", n=MAX_LETTERS))
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


def _txt(lines: _Lines) -> Iterator[PromptRow]:
    lines.new_row()
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            yield PromptRow(lines.start, lines.text("prompt", text))
        lines.new_row()


def _jsonl(lines: _Lines) -> Iterator[PromptRow]:
    lines.new_row()
    for line in lines:
        if line.strip():
            try:
                row = json.loads(line)
            except RecursionError:
                raise lines.bad(Phrase("it nests too deep")) from None
            except ValueError as error:
                raise lines.bad(Phrase("it is not JSON: {error}", error=str(error))) from None
            if not isinstance(row, dict):
                raise lines.bad(Phrase("it is not a JSON object"))
            yield _row(lines, {key: value for key, value in row.items() if value is not None})
        lines.new_row()


def _table(lines: _Lines) -> Iterator[PromptRow]:
    header: list[str] = []
    lines.new_row()
    for line in lines:
        if line.strip():
            break
        lines.new_row()
    else:
        return
    delimiter = ","
    for each in "\t,;":
        try:
            names = [name.strip() for name in next(csv.reader([line], delimiter=each))]
        except csv.Error:
            continue
        if "prompt" in map(str.lower, names) and len(names) > len(header):
            header, delimiter = names, each
    if not header:
        raise lines.bad(Phrase("the header has no column {name}", name="prompt"))
    header = [name.lower() if _is_setting(name.lower()) else name for name in header]
    bare = [name for name in header if name]
    twice = next((name for name in bare if bare.count(name) > 1), None)
    if twice is not None:
        raise lines.bad(Phrase("the column {name} is there twice", name=repr(twice)))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
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
        if any(cells[len(header) :]) or any(cell and not name for name, cell in zip(header, cells, strict=False)):
            raise lines.bad(Phrase("it has a value without a column"))
        yield _row(lines, {name: _typed(name, cell) for name, cell in zip(header, cells, strict=False) if cell})


def _is_setting(name: str) -> bool:
    return name in (
        "prompt",
        "negative",
        "guidance",
        "size",
        "deterministic",
        "loras",
        *WHOLE,
        *CHOICES,
        *PLAIN_NAMES,
        *REFUSED,
    )


def _typed(name: str, cell: str) -> Any:
    """A cell of text as the JSON value it would be; one that does not fit stays text, which ``_row`` then refuses."""
    if name in WHOLE and re.fullmatch(r"[-+]?[0-9]{1,30}", cell):
        return int(cell)
    if name == "guidance" and re.fullmatch(r"[-+]?[0-9.]{1,30}(?:[eE][-+]?[0-9]{1,3})?", cell):
        try:
            return float(cell)
        except ValueError:
            return cell
    if name == "deterministic":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)
    return cell


def _row(lines: _Lines, values: dict[str, Any]) -> PromptRow:
    """Check the values, each of its JSON type, and sort them into the prompt, settings and extra columns."""
    settings: dict[str, Any] = {}
    extra: dict[str, str] = {}
    prompt = values.pop("prompt", "")
    if not isinstance(prompt, str) or not prompt.strip():
        raise lines.bad(Phrase("it has no prompt"))
    for name, value in values.items():
        if not _is_setting(name):
            short = lines.text(repr(name), name.removeprefix("x_"))
            if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not short:
                raise lines.bad(Phrase("there is no setting {name} that takes such a value", name=repr(name)))
            if short in extra:
                raise lines.bad(Phrase("the column {name} is there twice", name=repr(short)))
            extra[short] = lines.text(repr(short), str(value))
        elif name == "loras":
            settings["loras"] = _loras(lines, value)
        elif name == "size":
            settings["width"], settings["height"] = _size(lines, value, values)
        else:
            settings[name] = _checked(lines, name, value)
    if extra:
        settings["extra"] = extra
    return PromptRow(lines.start, lines.text("prompt", prompt), settings)


def _size(lines: _Lines, value: Any, values: dict[str, Any]) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})\s*[xX×]\s*([0-9]{1,6})", value) if isinstance(value, str) else None
    if found is None:
        raise lines.bad(Phrase("size must read like {example}", example="512x768"))
    if "width" in values or "height" in values:
        raise lines.bad(Phrase("it gives both size and width or height"))
    return _checked(lines, "width", int(found[1])), _checked(lines, "height", int(found[2]))


def _loras(lines: _Lines, value: Any) -> tuple[tuple[str, float], ...]:
    """``name:scale, name`` into pairs; names of LoRAs in the LoRA folder or paths below it."""
    found = []
    for one in value.split(",") if isinstance(value, str) else [""]:
        match = re.fullmatch(
            r"((?:[^/\\:~]*[^/\\:~. ]/)*[^/\\:~]*[^/\\:~. ])(?::([-+]?[0-9]*\.?[0-9]{1,6}))?", one.strip()
        )
        if match is None:
            raise lines.bad(
                Phrase("loras must read like {example}, by names and not by paths", example="ink:0.8, paper")
            )
        found.append((lines.text("loras", match[1]), float(match[2] or 1)))
    return tuple(found)


def _checked(lines: _Lines, name: str, value: Any) -> Any:
    if name in REFUSED:
        raise lines.bad(Phrase("{name} cannot be set in a prompt file, which may not choose folders", name=name))
    if name in WHOLE:
        low, high = WHOLE[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise lines.bad(Phrase("{name} must be a whole number from {low} to {high}", name=name, low=low, high=high))
        return value
    if name == "guidance":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:  # nan fails too
            raise lines.bad(Phrase("{name} must be a number from {low} to {high}", name=name, low=0, high=100))
        return float(value)
    if name == "deterministic":
        if not isinstance(value, bool):
            raise lines.bad(Phrase("{name} must be true or false", name=name))
        return value
    if not isinstance(value, str):
        raise lines.bad(Phrase("{name} must be text", name=name))
    if name in CHOICES and value not in CHOICES[name]:
        raise lines.bad(Phrase("{name} must be one of {known}", name=name, known=", ".join(CHOICES[name])))
    if name in PLAIN_NAMES and (re.search(r"[/\\]|^[A-Za-z]:|^~", value) or value.strip(" .") == ""):
        raise lines.bad(Phrase("{name} must be a plain name in a prompt file, not a path", name=name))
    return lines.text(name, value)
