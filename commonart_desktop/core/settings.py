"""Settings that a person may read and edit by hand: ``settings.toml`` in the data folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields

from commonart_desktop.core.home import home
from engine.contract.errors import BadFile, Phrase


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Empty means: decide by the machine."""

    language: str = ""  # "ja" or "en"
    model: str = "commonart-mini"
    out: str = "outputs"
    name: str = ""  # file name template
    device: str = "auto"


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
