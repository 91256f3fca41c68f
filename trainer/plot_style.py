"""The style of all plots in reports: the same figures give the same bytes, in fonts that come with the program."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from engine.contract.font import FAMILY, FILE
from engine.contract.paths import resources


@cache
def _register_font() -> None:
    from matplotlib import font_manager

    font_manager.fontManager.addfont(resources() / FILE)


def plot_style() -> AbstractContextManager[None]:
    """A matplotlib context: DejaVu Sans (part of matplotlib), the bundled Japanese font as fallback, stable SVG ids.

    Create and save the figure within it: a text takes its font when it is created. ``$`` is an ordinary character.
    """
    import matplotlib

    _register_font()
    return matplotlib.rc_context(
        {"svg.hashsalt": "commonart", "font.family": ["DejaVu Sans", FAMILY], "text.parse_math": False}
    )
