"""The columns of a prompt file: which are settings, of what type and range, and which are fields for file names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.contract.errors import BadRow, BadValue, Phrase
from engine.contract.other_tools import PLACES, is_foreign, nearest_setting, sampler_named, setting_of
from engine.contract.request import DTYPES, FORMATS, MAX_SEED, PRESETS, SAMPLERS, fixed_seed

MAX_COUNT = 1_000_000
WHOLE = {"seed": (0, MAX_SEED), "count": (1, MAX_COUNT), "steps": (1, 1000), "width": (16, 8192), "height": (16, 8192)}
CHOICES = {"sampler": SAMPLERS, "dtype": DTYPES, "format": FORMATS, "preset": PRESETS}
PLAIN_NAMES = ("model", "name")

Refuse = Callable[[Phrase], BadRow]  # the error of the row that is being read
Text = Callable[[str, str], str]  # (name, value) -> the value in NFC; raises BadRow for a control character


def note_of(path: str, column: str) -> Phrase | None:
    """What to say of a column that is no setting; None where nothing is to be said. ``x_`` marks one as a field."""
    if column.lower().startswith("x_"):
        return None
    if is_foreign(column):
        return Phrase(
            "{path}: the column {name} is a setting of other programs that this one does not have; "
            "it only became a field for file names",
            path=path,
            name=repr(column),
        )
    near = nearest_setting(column)
    if near is None:
        return None
    return Phrase(
        "{path}: the column {name} is not a setting and only became a field for file names; the nearest setting is "
        "{near}",
        path=path,
        name=repr(column),
        near=near,
    )


def typed(setting: str | None, cell: str) -> Any:
    """A cell of text as the JSON value it would be; one that does not fit stays text, which ``read_row`` refuses."""
    if setting in WHOLE and re.fullmatch(r"[-+]?[0-9]{1,30}", cell):
        return int(cell)
    if setting == "guidance" and re.fullmatch(r"[-+]?[0-9.]{1,30}(?:[eE][-+]?[0-9]{1,3})?", cell):
        try:
            return float(cell)
        except ValueError:
            return cell
    if setting == "deterministic":
        return {"true": True, "1": True, "false": False, "0": False}.get(cell.lower(), cell)
    return cell


def read_row(values: dict[str, Any], bad: Refuse, text: Text) -> tuple[str, dict[str, Any]]:
    """The prompt and the settings of a row whose ``values`` stand by column, each of its JSON type.

    ``extra`` among the settings has the other columns as text; a seed of None is a random one.

    Raises:
        BadRow: what ``bad`` makes of the reason.
    """
    settings: dict[str, Any] = {}
    extra: dict[str, str] = {}
    columns: dict[str, str] = {}
    for name, value in values.items():
        setting = setting_of(name)
        if setting is None:
            short = text(repr(name), name.removeprefix("x_"))
            if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not short:
                raise bad(Phrase("there is no setting {name} that takes such a value", name=repr(name)))
            if short in extra:
                raise bad(Phrase("the column {name} is there twice", name=repr(short)))
            extra[short] = text(repr(short), str(value))
        elif setting in columns:
            raise bad(
                Phrase(
                    "the columns {first} and {second} both give {name}",
                    first=repr(columns[setting]),
                    second=repr(name),
                    name=setting,
                )
            )
        else:
            columns[setting] = name
            settings[setting] = value
    prompt = settings.pop("prompt", "")
    if not isinstance(prompt, str) or not prompt.strip():
        raise bad(Phrase("it has no prompt"))
    made: dict[str, Any] = {}
    for setting, value in settings.items():
        if setting == "loras":
            made["loras"] = _loras(value, bad, text)
        elif setting == "size":
            if "width" in settings or "height" in settings:
                raise bad(Phrase("it gives both size and width or height"))
            made["width"], made["height"] = _size(value, bad, text)
        else:
            made[setting] = _checked(setting, value, bad, text)
    if extra:
        made["extra"] = extra
    return text("prompt", prompt), made


def _size(value: Any, bad: Refuse, text: Text) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,6})\s*[xX×]\s*([0-9]{1,6})", value) if isinstance(value, str) else None
    if found is None:
        raise bad(Phrase("size must read like {example}", example="512x768"))
    return _checked("width", int(found[1]), bad, text), _checked("height", int(found[2]), bad, text)


def _loras(value: Any, bad: Refuse, text: Text) -> tuple[tuple[str, float], ...]:
    """``name:scale, name`` or ``<lora:name:scale>`` into pairs; names of LoRAs in the LoRA folder or paths
    below it."""
    if isinstance(value, str) and "<lora:" in value:
        value = ",".join(re.sub(r"<lora:([^<>]*)>", r"\1,", value).strip(" ,").split(","))
    found = []
    for one in value.split(",") if isinstance(value, str) else [""]:
        match = re.fullmatch(
            r"((?:[^/\\:~<>]*[^/\\:~<>. ]/)*[^/\\:~<>]*[^/\\:~<>. ])(?::([-+]?[0-9]*\.?[0-9]{1,6}))?", one.strip()
        )
        if match is None:
            raise bad(Phrase("loras must read like {example}, by names and not by paths", example="ink:0.8, paper"))
        found.append((text("loras", match[1]), float(match[2] or 1)))
    return tuple(found)


def _checked(name: str, value: Any, bad: Refuse, text: Text) -> Any:
    if name in PLACES:
        raise bad(Phrase("{name} cannot be set in a prompt file, which may not choose folders", name=name))
    if name == "seed":
        try:
            return fixed_seed(value)
        except BadValue as error:
            raise bad(Phrase(error.message, **error.fields)) from None
    if name in WHOLE:
        low, high = WHOLE[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad(Phrase("{name} must be a whole number from {low} to {high}", name=name, low=low, high=high))
        return value
    if name == "guidance":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:  # nan fails too
            raise bad(Phrase("{name} must be a number from {low} to {high}", name=name, low=0, high=100))
        return float(value)
    if name == "deterministic":
        if not isinstance(value, bool):
            raise bad(Phrase("{name} must be true or false", name=name))
        return value
    if not isinstance(value, str):
        raise bad(Phrase("{name} must be text", name=name))
    if name == "sampler":
        value = sampler_named(value) or value
    if name in CHOICES and value not in CHOICES[name]:
        raise bad(Phrase("{name} must be one of {known}", name=name, known=", ".join(CHOICES[name])))
    if name in PLAIN_NAMES and (re.search(r"[/\\]|^[A-Za-z]:|^~", value) or value.strip(" .") == ""):
        raise bad(Phrase("{name} must be a plain name in a prompt file, not a path", name=name))
    return text(name, value)
