"""Reading JSON that may come from anywhere: sizes are limited, and every value is checked before it is used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase, system_words


def read_json(file: Path, max_bytes: int) -> Any:
    """The content of a JSON file.

    Raises:
        BadFile: it is missing, too large, or not JSON.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(max_bytes + 1)
        if len(text) > max_bytes:
            raise BadFile(path=file, why=Phrase("it is larger than {n} MB", n=max_bytes >> 20))
        return json.loads(text)
    except OSError as e:
        raise BadFile(path=file, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=file, why=Phrase("it is not JSON")) from e


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_dicts(value: Any, max_count: int) -> list[dict[str, Any]]:
    """The objects among the first ``max_count`` entries of a list."""
    return [one for one in value[:max_count] if isinstance(one, dict)] if isinstance(value, list) else []


def as_text(value: Any, max_length: int) -> str:
    """A string cut to ``max_length`` characters, those that cannot be printed as spaces; empty for anything else."""
    return "".join(c if c.isprintable() else " " for c in value[:max_length]) if isinstance(value, str) else ""


def as_number(value: Any) -> float | None:
    """A finite number; None for anything else, a bool among it."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def as_count(value: Any) -> int:
    """An integer of 0 to 2**63 - 1; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else 0
