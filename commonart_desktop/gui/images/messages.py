"""Text in place of an image that cannot be shown."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QLocale

from commonart_desktop.gui.images.reader import LoadedImage


def problem_text(loaded: LoadedImage) -> str:
    """Why an image is not shown; empty where it can be."""
    if not loaded.image.isNull():
        return ""
    if loaded.too_large and loaded.size.isValid():
        locale = QLocale()
        return QCoreApplication.translate("images", "! Too large to show here: {width} × {height} pixels").format(
            width=locale.toString(loaded.size.width()), height=locale.toString(loaded.size.height())
        )
    return QCoreApplication.translate("images", "! This image cannot be read")
