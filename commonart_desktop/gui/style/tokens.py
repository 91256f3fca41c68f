"""Colours, spacings and sizes by name, for both themes. Nothing else in the window defines a colour."""

from __future__ import annotations

from dataclasses import dataclass

SPACE = {"xs": 4, "s": 8, "m": 12, "l": 16, "xl": 24}
RADIUS = 6
FONT = {"small": 11, "body": 13, "large": 16, "title": 20}  # pixels at 100 %
ICON = 20


@dataclass(frozen=True, kw_only=True)
class Colours:
    """One theme. The frame is grey, so that only the images have colour."""

    window: str
    panel: str
    field: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    on_accent: str
    selection: str
    good: str
    warning: str
    bad: str
    template: str  # wildcards and choices in a prompt


LIGHT = Colours(
    window="#f2f2f2",
    panel="#fafafa",
    field="#ffffff",
    raised="#e7e7e7",
    border="#cfcfcf",
    text="#1d1d1f",
    muted="#5c5c61",
    accent="#1f5fbf",
    on_accent="#ffffff",
    selection="#d5e3f7",
    good="#1d6b3a",
    warning="#865300",
    bad="#b3261e",
    template="#7a3e9d",
)
DARK = Colours(
    window="#242426",
    panel="#2b2b2e",
    field="#1e1e20",
    raised="#38383c",
    border="#48484d",
    text="#ececee",
    muted="#a9a9b0",
    accent="#7fb0ff",
    on_accent="#10233f",
    selection="#2f4566",
    good="#7fd39b",
    warning="#f0bf6a",
    bad="#ff9c93",
    template="#d3a4f0",
)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, 1 to 21 (WCAG 2.2)."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)
