"""Large text in the middle of an empty image area."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale, QSize


def large_message(size: QSize) -> str:
    """Why a picture of this size is not shown."""
    locale = QLocale()
    return QCoreApplication.translate("TilePainter", "! Too large to show here: {width} × {height} pixels").format(
        width=locale.toString(size.width()), height=locale.toString(size.height())
    )
