"""How every plot of a report is drawn: the same bytes for the same figures, in fonts that come with the program."""

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
    """A matplotlib context: DejaVu Sans (part of matplotlib), the shipped Japanese font for what it lacks, stable SVG ids.

    Make the figure within it and save it there too: a text takes its font when it is made. ``$`` is a letter.
    """
    import matplotlib

    _register_font()
    return matplotlib.rc_context(
        {"svg.hashsalt": "commonart", "font.family": ["DejaVu Sans", FAMILY], "text.parse_math": False}
    )
