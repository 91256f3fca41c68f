"""Writing ``settings.toml``: comments and entries of a newer version stay, and nothing unreadable is lost."""

from __future__ import annotations

import itertools
import time
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from commonart_desktop.core.settings import Settings, read_settings, settings_path
from engine.contract.errors import BadFile, system_words
from engine.contract.files import as_our_error, replacing


def save_settings(settings: Settings) -> Path | None:
    """Write what differs from the defaults; comments and entries that this version does not know stay where they are.

    Returns:
        The copy of a file that could not be read as a whole, which is made before anything is written over it.

    Raises:
        OutputFolder, DiskFull: it cannot be written. BadFile: no such copy can be made. Nothing has changed then.
    """

    path = settings_path()
    kept = _keep(path) if read_settings().errors else None
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        text, data = "", {}  # the copy has the old content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise as_our_error(e, path.parent) from e
    with replacing(path) as f:
        f.write(_changed(text, data, settings).encode("utf-8"))
    return kept


def _changed(text: str, data: dict[str, Any], settings: Settings) -> str:
    """``text``, which means ``data``, with the settings put in."""
    import tomlkit

    _put(data, settings)
    try:
        document = tomlkit.parse(text)
        _put(document, settings)
        changed = tomlkit.dumps(document)
        if tomllib.loads(changed) == data:
            return changed
    except (ValueError, LookupError, RecursionError, TypeError):
        pass  # tomlkit fails on tables that are split
    return tomlkit.dumps(data)  # the same without the comments


def _put(document: Any, settings: Settings) -> None:
    """Set the entries that differ from the defaults, and remove those that do not."""
    now, usual = asdict(settings), asdict(Settings())
    table, usual_table = now.pop("provenance"), usual.pop("provenance")
    if not isinstance(document.get("provenance"), dict):
        document.pop("provenance", None)  # a table goes to the end; a value may stand before other values
        document["provenance"] = {}
    for place, values, defaults in ((document, now, usual), (document["provenance"], table, usual_table)):
        for key, value in values.items():
            if value == defaults[key]:
                place.pop(key, None)
            elif place.get(key) != value or isinstance(value, bool):  # 0 == False
                place[key] = value
    if not document["provenance"]:
        del document["provenance"]


def _keep(path: Path) -> Path:
    """A copy under today's date and time. Raises BadFile."""
    try:
        data = path.read_bytes()
        for number in itertools.count(1):
            tail = "" if number == 1 else f"-{number}"
            kept = path.with_name(f"{path.stem}.unreadable-{time.strftime('%Y%m%d-%H%M%S')}{tail}.toml")
            try:
                with kept.open("xb") as file:
                    file.write(data)
                return kept
            except FileExistsError:
                continue
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    raise AssertionError
