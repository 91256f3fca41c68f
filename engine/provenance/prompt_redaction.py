"""Recipes whose prompt is only a hash."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Any

from engine.contract.request import ImageRequest

#: what could reveal the prompt: its text, its template, and other columns of the user's prompt file
_PARTS = ("prompt", "negative", "template", "draw", "name", "extra")


def text_sha256(text: str) -> str:
    """SHA-256 of the UTF-8 bytes in Unicode form C: someone who knows the prompt can prove that it is this one."""
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")).hexdigest()


def redact_prompt(recipe: dict[str, Any]) -> dict[str, Any]:
    """A copy in which prompt and negative prompt are ``sha256:...`` and nothing else reveals them."""
    asked = {k: v for k, v in recipe["request"].items() if k not in _PARTS}
    for part in ("prompt", "negative"):
        text = recipe["request"].get(part, "")
        asked[part] = f"sha256:{text_sha256(text)}" if text else ""
    return recipe | {"request": asked, "unknown_words": [], "prompt_hidden": True}


def is_redacted(recipe: dict[str, Any]) -> bool:
    """Whether the prompt is only a hash."""
    return recipe.get("prompt_hidden") is True


def restore_prompt(recipe: dict[str, Any], request: ImageRequest) -> dict[str, Any]:
    """The recipe with its prompt again, from its request."""
    words = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(request).items() if k in _PARTS}
    return {k: v for k, v in recipe.items() if k != "prompt_hidden"} | {"request": recipe["request"] | words}
