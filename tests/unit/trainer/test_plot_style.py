"""Plots draw Japanese with the font that is shipped, and take every name for what it is."""

from __future__ import annotations

import warnings

from matplotlib.figure import Figure

from trainer.evaluation.page import svg
from trainer.plot_style import plot_style


def drawn(title: str) -> str:
    with plot_style():
        figure = Figure(figsize=(4, 2))
        figure.subplots().set_title(title)
        return svg(figure)


def test_japanese_titles_need_no_font_of_the_system() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of each letter that no font has
        text = drawn("和風エンコーダー、鬱")
    assert text == drawn("和風エンコーダー、鬱") and "CommonArtSansJP" in text


def test_a_dollar_sign_is_no_formula() -> None:
    assert drawn("$encoder_x$ {") != drawn("encoder")
