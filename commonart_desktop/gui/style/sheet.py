"""The style sheet of the window, filled in from the tokens."""

from __future__ import annotations

from commonart_desktop.gui.style.tokens import RADIUS, SPACE, Colours
from engine.contract.paths import home, resources, writing_home


def _sheet_images(c: Colours) -> dict[str, str]:
    """Arrows and a tick in the theme's colours, as files, because a style sheet can only refer to files.

    Raises:
        DataFolder, DiskFull
    """
    folder = home() / "cache" / "theme"
    with writing_home():
        folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, source, colour in (
        ("up", "up", c.text),
        ("down", "down", c.text),
        ("check", "done", c.on_accent),
        ("dot", "dot", c.accent),
        ("dot-off", "dot", c.muted),
    ):
        path = folder / f"{name}-{colour.lstrip('#')}.svg"
        if not path.exists():
            svg = (resources() / "icons" / f"{source}.svg").read_text(encoding="utf-8")
            with writing_home():
                path.write_text(svg.replace("currentColor", colour), encoding="utf-8")
        paths[name] = path.as_posix()
    return paths


def style_sheet(c: Colours, font: dict[str, int]) -> str:
    """The style sheet of a theme; ``font`` has the sizes in pixels by name. Raises DataFolder, DiskFull."""
    images = _sheet_images(c)
    return f"""
    QLabel[role="title"] {{ font-size: {font["title"]}px; }}
    QLabel[role="section"] {{ font-size: {font["large"]}px; }}
    QLabel[role="muted"], QLabel[role="hint"] {{ color: {c.muted}; font-size: {font["small"]}px; }}
    QLabel[role="bad"] {{ color: {c.bad}; font-size: {font["small"]}px; }}
    QPlainTextEdit, QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox {{
        background: {c.field}; border: 1px solid {c.border}; border-radius: {RADIUS}px; padding: {SPACE["xs"]}px {SPACE["s"]}px; }}
    QPlainTextEdit:focus, QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus {{ border-color: {c.accent}; }}
    QComboBox::drop-down {{ border: none; width: {SPACE["l"] + 4}px; }}
    QComboBox::down-arrow {{ image: url({images["down"]}); width: 14px; height: 14px; }}
    QSpinBox::up-button, QDoubleSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::down-button {{ border: none; width: 18px; }}
    QSpinBox::up-arrow, QDoubleSpinBox::up-arrow {{ image: url({images["up"]}); width: 12px; height: 12px; }}
    QSpinBox::down-arrow, QDoubleSpinBox::down-arrow {{ image: url({images["down"]}); width: 12px; height: 12px; }}
    QPushButton {{ background: {c.raised}; border: 1px solid {c.border}; border-radius: {RADIUS}px; padding: {SPACE["xs"] + 2}px {SPACE["m"]}px; }}
    QPushButton:hover {{ border-color: {c.muted}; }}
    QPushButton:focus {{ border-color: {c.accent}; }}
    QPushButton[main="true"] {{ background: {c.accent}; color: {c.on_accent}; border-color: {c.accent}; }}
    QPushButton:disabled, QPushButton[main="true"]:disabled {{ background: {c.raised}; color: {c.muted}; border-color: {c.border}; }}
    QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted}; border-radius: 3px; background: {c.field}; }}
    QCheckBox::indicator:focus {{ border-color: {c.accent}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent}; image: url({images["check"]}); }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.muted}; border-radius: 8px; background: {c.field}; }}
    QRadioButton::indicator:focus {{ border-color: {c.accent}; }}
    QRadioButton::indicator:checked {{ border-color: {c.accent}; image: url({images["dot"]}); }}
    QRadioButton::indicator:checked:disabled {{ border-color: {c.muted}; image: url({images["dot-off"]}); }}
    QToolButton {{ background: transparent; border: 1px solid transparent; border-radius: {RADIUS}px; padding: {SPACE["xs"]}px; }}
    QToolButton:hover {{ background: {c.raised}; }}
    QToolButton:focus {{ border-color: {c.accent}; }}
    QToolButton:checked {{ background: {c.selection}; }}
    QToolButton[popupMode="1"] {{ padding-right: {SPACE["l"]}px; }}
    QToolButton::menu-button {{ border: none; width: {SPACE["l"]}px; }}
    QToolButton::menu-arrow {{ image: url({images["down"]}); width: 12px; height: 12px; }}
    QToolButton::menu-indicator {{ image: none; }}
    QTreeView, QTableView, QListView {{ background: {c.field}; border: 1px solid {c.border}; border-radius: {RADIUS}px; }}
    QTableView[plain="true"]::item {{ padding: 0 {SPACE["xs"] + 1}px; }}
    QHeaderView::section {{ background: {c.panel}; color: {c.muted}; border: none; border-bottom: 1px solid {c.border};
        padding: {SPACE["xs"]}px {SPACE["s"]}px; }}
    QFrame#side {{ background: {c.panel}; border-right: 1px solid {c.border}; }}
    QFrame#notice {{ background: {c.raised}; border-top: 1px solid {c.border}; }}
    QFrame#palette {{ background: {c.panel}; border: 1px solid {c.muted}; border-radius: {RADIUS}px; }}
    QFrame#palette QTreeView {{ border: none; background: {c.panel}; }}
    QFrame#palette QTreeView::item {{ padding: {SPACE["xs"]}px; }}
    QFrame#palette QTreeView::item:disabled {{ color: {c.muted}; }}
    QFrame#status {{ background: {c.panel}; border-top: 1px solid {c.border}; }}
    QProgressBar {{ background: {c.raised}; border: none; border-radius: 3px; max-height: 6px; }}
    QProgressBar::chunk {{ background: {c.accent}; border-radius: 3px; }}
    QSplitter::handle {{ background: {c.window}; }}
    QToolTip {{ background: {c.panel}; color: {c.text}; border: 1px solid {c.border}; padding: {SPACE["xs"]}px; }}
    """
