"""Settings, which may be edited by hand: ``settings.toml`` in the data folder."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from commonart_desktop.core.toml_lines import entries, error_at, not_toml, position, what_can_be_read
from engine.contract.errors import BadFile, Phrase, system_words
from engine.contract.paths import home

MAX_BYTES = 1_000_000
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The table ``[provenance]``: what is written into images about their origin. See docs/provenance.md."""

    sign: bool = True
    prompt: str = "clear"  # or "hash": only the prompt's SHA-256 is in the file
    training_mining: str = ""  # "allowed", "notAllowed", "constrained"; empty: no statement
    studio: str = ""  # the name in the local certificate
    creator: str = ""
    rights: str = ""
    certificate: str = ""  # the user's PEM files, with full paths or relative to settings.toml
    key: str = ""
    safety_score: str = ""  # "opennsfw": score images before they are saved, and write the score into the recipe


_CHOICES = {
    "safety_score": ("", "opennsfw"),
    "prompt": ("clear", "hash"),
    "training_mining": ("", "allowed", "notAllowed", "constrained"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Empty means automatic."""

    language: str = ""  # "ja" or "en"
    model: str = "commonart-mini"
    out: str = "outputs"
    name: str = ""  # file name template
    device: str = "auto"
    dtype: str = "auto"
    memory: str = "auto"  # GB of the device's memory that a model may use
    cluster: str = (
        ""  # address of a Ray cluster that generates the images ("auto": one on this machine); see docs/cluster.md
    )
    theme: str = "system"  # "light", "dark" or "system"
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, kw_only=True)
class SettingsRead:
    """``settings.toml`` as far as it can be understood."""

    settings: Settings = field(default_factory=Settings)  # defaults where an entry is invalid
    errors: tuple[BadFile, ...] = ()
    unknown: tuple[str, ...] = ()  # entries that this version does not know, such as ``provenance.colour``; they stay

    def remark(self) -> Phrase | None:
        """The message about unknown entries, with the setting that may have been meant."""
        if not self.unknown:
            return None
        known = [*(f.name for f in fields(Settings)), *(f"provenance.{f.name}" for f in fields(Provenance))]
        keys = []
        for key in self.unknown:
            near = difflib.get_close_matches(key, known, n=1)
            keys.append(f"{key} ({near[0]}?)" if near else key)
        return Phrase(
            "{path}: this version has no setting {keys}; what stands there is kept",
            path=settings_path(),
            keys=", ".join(keys),
        )


def settings_path() -> Path:
    """The settings file."""
    return home() / "settings.toml"


def read_settings() -> SettingsRead:
    """The content of the file; never raises, so that errors can be shown in the user's language."""
    path = settings_path()
    try:
        if path.stat().st_size > MAX_BYTES:
            return SettingsRead(errors=(BadFile(path=path, why=Phrase("it is larger than {n} MB", n=1)),))
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return SettingsRead()
    except OSError as e:
        return SettingsRead(errors=(BadFile(path=path, why=system_words(e)),))
    errors: list[BadFile] = []
    text = raw.decode("utf-8-sig", "replace")
    try:
        raw.decode("utf-8-sig")
        data = tomllib.loads(text)
    except UnicodeDecodeError as e:
        before = raw[: e.start].decode("utf-8-sig", "replace")
        errors.append(error_at(path, *position(before), Phrase("it is not UTF-8; save the file as UTF-8")))
        data = what_can_be_read("".join(x for x in text.splitlines(True) if "\ufffd" not in x))
    except (ValueError, RecursionError) as e:
        errors.append(not_toml(path, text, e))
        data = what_can_be_read(text)
    places = {(x.table, x.key): (x.number, x.column) for x in entries(text)}

    def wrong(table: str, key: str, why: Phrase) -> None:
        line, column = places.get((table, key), (1, 1))
        value = data[table][key] if table else data[key]
        escaped = isinstance(value, str) and _CONTROL.search(value)  # the n of D:\new is taken for the end of a line
        errors.append(error_at(path, line, column, why, text if escaped else ""))

    good: dict[str, Any] = {}
    unknown: list[str] = []
    known = {f.name for f in fields(Settings)}
    for key, value in data.items():
        if key not in known:
            unknown.append(key)
        elif key == "provenance" and isinstance(value, dict):
            good[key] = _provenance(value, wrong, unknown)
        elif key == "provenance":
            wrong("", key, Phrase("{key} must be a table: a line [{key}] and its entries below it", key=key))
        elif not isinstance(value, str) or _CONTROL.search(value):
            wrong("", key, Phrase("{key} must be text in quotes", key=key))
        else:
            good[key] = value
    return SettingsRead(settings=Settings(**good), errors=tuple(errors), unknown=tuple(unknown))


def _provenance(table: dict[str, Any], wrong: Callable[[str, str, Phrase], None], unknown: list[str]) -> Provenance:
    """The valid entries of the table; ``wrong`` is called for the others."""
    good: dict[str, Any] = {}
    known = {f.name for f in fields(Provenance)}
    for key, value in table.items():
        name = f"provenance.{key}"
        if key not in known:
            unknown.append(name)
        elif key == "sign" and not isinstance(value, bool):
            wrong("provenance", key, Phrase("{key} must be true or false", key=name))
        elif key != "sign" and (not isinstance(value, str) or _CONTROL.search(value)):
            wrong("provenance", key, Phrase("{key} must be text in quotes", key=name))
        elif key in _CHOICES and value not in _CHOICES[key]:
            choices = ", ".join(c or '""' for c in _CHOICES[key])
            wrong("provenance", key, Phrase("{key} must be one of {known}", key=name, known=choices))
        else:
            good[key] = value
    if bool(good.get("certificate")) != bool(good.get("key")):
        key = "certificate" if good.get("certificate") else "key"
        wrong("provenance", key, Phrase("provenance.certificate and provenance.key belong together"))
        del good[key]
    return Provenance(**good)


def load_settings() -> Settings:
    """The current settings, for generating images.

    Raises:
        BadFile: the file is there and cannot be understood as a whole; BadSettings where line and column are known.
    """
    read = read_settings()
    if read.errors:
        raise read.errors[0]
    return read.settings


def provenance_options(mine: Provenance | None = None, *, sign: bool | None = None) -> list[str]:
    """The worker's options for what is written into images, from ``mine`` or else the settings file; ``sign`` overrides
    the setting.

    Raises:
        BadFile: see ``load_settings``.
    """
    mine = mine or load_settings().provenance
    options = ["--sign" if (mine.sign if sign is None else sign) else "--no-sign", f"--tell-prompt={mine.prompt}"]
    texts = {
        "training-mining": mine.training_mining,
        "studio": mine.studio,
        "creator": mine.creator,
        "rights": mine.rights,
    }
    options += [f"--{name}={value}" for name, value in texts.items() if value]
    if mine.safety_score:
        options.append(f"--safety-score={mine.safety_score}")
    if mine.certificate:
        options += [
            f"--{name}={home() / Path(value).expanduser()}"
            for name, value in (("certificate", mine.certificate), ("key", mine.key))
        ]
    return options
