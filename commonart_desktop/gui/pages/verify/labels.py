"""Name and icon of the state of a checked image: by shape and text, never by colour alone."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, QSize
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from commonart_desktop.core.verify_text import chain_state
from commonart_desktop.gui.style.theme import ICON_SIZE, icon

ICONS = {
    "waiting": "waiting",
    "valid": "done",
    "doubtful": "failed",
    "changed": "failed",
    "expired": "expired",
    "unsigned": "cancelled",
    "foreign": "foreign",
    "unreadable": "unreadable",
}
JUDGED = {"ok": "done", "bad": "failed", "missing": "foreign"}  # the states of a node of the chain


def kind_of(report: dict[str, Any] | None) -> str:
    """``waiting`` without a report; ``doubtful`` where the image is as signed but its chain has problems."""
    if report is None:
        return "waiting"
    if report["state"] == "valid" and not report["intact"]:
        return "doubtful"
    return str(report["state"])


def word_of(kind: str) -> str:
    """Names in the current language."""
    return {
        "waiting": QCoreApplication.translate("VerifyWords", "not checked yet"),
        "valid": QCoreApplication.translate("VerifyWords", "intact"),
        "doubtful": QCoreApplication.translate("VerifyWords", "origin in doubt"),
        "changed": QCoreApplication.translate("VerifyWords", "changed"),
        "expired": QCoreApplication.translate("VerifyWords", "certificate expired"),
        "unsigned": QCoreApplication.translate("VerifyWords", "not signed"),
        "foreign": QCoreApplication.translate("VerifyWords", "signer unknown"),
        "unreadable": QCoreApplication.translate("VerifyWords", "unreadable"),
    }[kind]


def chain_text(report: dict[str, Any]) -> str:
    """A summary of the chain; empty where there is nothing to report."""
    return {
        "bad": QCoreApplication.translate("VerifyWords", "Something in what it was made from does not fit: see below."),
        "missing": QCoreApplication.translate("VerifyWords", "Not everything it was made from is available here."),
    }.get(chain_state(report), "")


class StateMark(QWidget):
    """The icon of a state in the current theme."""

    def __init__(self) -> None:
        super().__init__()
        self._icon = icon(ICONS["waiting"])
        self.setFixedSize(QSize(ICON_SIZE, ICON_SIZE))

    def show_kind(self, kind: str) -> None:
        """Show another state."""
        self._icon = icon(ICONS[kind])
        self.setToolTip(word_of(kind))
        self.setAccessibleName(word_of(kind))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        self._icon.paint(QPainter(self), self.rect())
