"""Reading config.json and its kind, with bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.contract.errors import BrokenWeights, Phrase, system_words

MAX_CONFIG = 4_000_000  # bytes: real ones have some thousand


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BrokenWeights: missing or not a JSON object.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise BrokenWeights(path=path, why=Phrase("it is larger than {n} MB", n=MAX_CONFIG // 1_000_000))
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BrokenWeights(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BrokenWeights(path=path, why=Phrase("it is not JSON")) from e
    if not isinstance(data, dict):
        raise BrokenWeights(path=path, why=Phrase("it is not a JSON object"))
    return data
