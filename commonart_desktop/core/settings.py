"""Settings that a person may read and edit by hand: ``settings.toml`` in the data folder."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields

from commonart_desktop.core.home import home
from engine.contract.errors import BadFile, Phrase, system_words


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Empty means: decide by the machine."""

    language: str = ""  # "ja" or "en"
    model: str = "commonart-mini"
    out: str = "outputs"
    name: str = ""  # file name template
    device: str = "auto"
    dtype: str = "auto"
    theme: str = "system"  # "light", "dark" or "system"


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
    except (OSError, ValueError) as e:
        raise BadFile(path=path, why=Phrase("it is not TOML ({reason})", reason=e)) from e
    known = {f.name for f in fields(Settings)}
    for key, value in data.items():
        if key not in known:
            raise BadFile(path=path, why=Phrase("there is no setting {key}; known are {known}", key=key, known=", ".join(sorted(known))))
        if not isinstance(value, str):
            raise BadFile(path=path, why=Phrase("{key} must be text in quotes", key=key))
    return Settings(**data)


def save_settings(settings: Settings) -> None:
    """Write what differs from the defaults, aside and renamed; comments of the old file are not kept.

    Raises:
        BadFile: it cannot be written.
    """
    path = home() / "settings.toml"
    aside = path.with_suffix(".tmp")
    plain = asdict(Settings())
    # a JSON string is a TOML basic string: the same quotes and escapes
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in asdict(settings).items() if v != plain[k]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text("".join(lines), encoding="utf-8")
        aside.replace(path)
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
