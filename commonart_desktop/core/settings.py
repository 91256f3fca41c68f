"""Settings that a person may read and edit by hand: ``settings.toml`` in the data folder."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from commonart_desktop.core.home import home
from engine.contract.errors import BadFile, Phrase, system_words


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The table ``[provenance]``: what is written into pictures about their making. See docs/provenance.md."""

    sign: bool = True
    prompt: str = "clear"  # or "hash": only the prompt's SHA-256 is in the file
    training_mining: str = ""  # "allowed", "notAllowed", "constrained"; empty says nothing
    studio: str = ""  # the name in the local certificate
    creator: str = ""
    rights: str = ""
    certificate: str = ""  # PEM files of one's own, with full paths or beside settings.toml
    key: str = ""
    safety_score: str = ""  # "opennsfw": score pictures before they are saved, and write the score into the recipe


_CHOICES = {
    "safety_score": ("", "opennsfw"),
    "prompt": ("clear", "hash"),
    "training_mining": ("", "allowed", "notAllowed", "constrained"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Empty means: decide by the machine."""

    language: str = ""  # "ja" or "en"
    model: str = "commonart-mini"
    out: str = "outputs"
    name: str = ""  # file name template
    device: str = "auto"
    dtype: str = "auto"
    memory: str = "auto"  # GB of the device's memory that a model may use
    cluster: str = (
        ""  # address of a Ray cluster that makes the pictures ("auto": one on this machine); see docs/cluster.md
    )
    theme: str = "system"  # "light", "dark" or "system"
    provenance: Provenance = field(default_factory=Provenance)


def load_settings() -> Settings:
    """The settings in force.

    Raises:
        BadFile: the file is there and cannot be understood; the entry is named.
    """
    path = home() / "settings.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not TOML ({reason})", reason=e)) from e
    known = {f.name for f in fields(Settings)}
    for key, value in data.items():
        if key not in known:
            raise BadFile(
                path=path,
                why=Phrase("there is no setting {key}; known are {known}", key=key, known=", ".join(sorted(known))),
            )
        if key == "provenance":
            data[key] = _provenance(path, value)
        elif not isinstance(value, str):
            raise BadFile(path=path, why=Phrase("{key} must be text in quotes", key=key))
    return Settings(**data)


def _provenance(path: Path, table: Any) -> Provenance:
    """Raises BadFile."""
    if not isinstance(table, dict):
        raise BadFile(
            path=path, why=Phrase("{key} must be a table: a line [{key}] and its entries below it", key="provenance")
        )
    known = {f.name for f in fields(Provenance)}
    for key, value in table.items():
        name = f"provenance.{key}"
        if key not in known:
            raise BadFile(
                path=path,
                why=Phrase("there is no setting {key}; known are {known}", key=name, known=", ".join(sorted(known))),
            )
        if key == "sign":
            if not isinstance(value, bool):
                raise BadFile(path=path, why=Phrase("{key} must be true or false", key=name))
        elif not isinstance(value, str) or any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value):
            raise BadFile(path=path, why=Phrase("{key} must be text in quotes", key=name))
        elif key in _CHOICES and value not in _CHOICES[key]:
            raise BadFile(
                path=path,
                why=Phrase("{key} must be one of {known}", key=name, known=", ".join(c or '""' for c in _CHOICES[key])),
            )
    if bool(table.get("certificate")) != bool(table.get("key")):
        raise BadFile(path=path, why=Phrase("provenance.certificate and provenance.key belong together"))
    return Provenance(**table)


def provenance_options(mine: Provenance | None = None, *, sign: bool | None = None) -> list[str]:
    """The worker's options for what is written into pictures, by ``mine`` or else the settings file; ``sign`` goes before the setting.

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


def save_settings(settings: Settings) -> None:
    """Write what differs from the defaults, aside and renamed; comments of the old file are not kept.

    Raises:
        BadFile: it cannot be written.
    """
    path = home() / "settings.toml"
    aside = path.with_suffix(".tmp")
    plain = asdict(Settings())
    # a JSON string is a TOML basic string: the same quotes and escapes
    now = asdict(settings)
    table, usual = now.pop("provenance"), plain.pop("provenance")
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in now.items() if v != plain[k]]
    inner = [f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in table.items() if v != usual[k]]
    lines += ["\n[provenance]\n", *inner] if inner else []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text("".join(lines), encoding="utf-8")
        aside.replace(path)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
