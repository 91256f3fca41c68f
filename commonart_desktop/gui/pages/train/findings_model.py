"""What the licence check found, as rows; and the records of the pictures where every picture is wanted."""

from __future__ import annotations

from collections import Counter
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt

from commonart_desktop.gui.pages.train.labels import rule_word, why
from commonart_desktop.gui.style.theme import icon

Index = QModelIndex | QPersistentModelIndex
SEVERITY, FILE, RULE, REASON = range(4)
FINDING = Qt.ItemDataRole.UserRole  # the finding as the gate told it
KEY = Qt.ItemDataRole.UserRole + 1  # its rule
METADATA = "metadata.jsonl"
ALL, EVERY = "", "*"  # filters beside the rules: all findings, every picture


def picture_of(finding: dict[str, Any]) -> str:
    """The picture's name in the folder; empty where it is about none."""
    name = str(finding["file"])
    return "" if name in (METADATA, "", ".") else name


class FindingsModel(QAbstractTableModel):
    """The gate's findings, then (for the filter ``EVERY``) the pictures of the folder."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.findings: list[dict[str, Any]] = []
        self._reasons: dict[int, str] = {}  # put into the user's language when they are first shown
        self._heads = (self.tr("Severity"), self.tr("File"), self.tr("Rule"), self.tr("Reason"))
        self._severities = {"block": self.tr("refused"), "warn": self.tr("warning"), "": self.tr("nothing found")}

    def set_findings(self, findings: list[dict[str, Any]], files: list[str]) -> None:
        """``files`` are all that have a record."""
        self.beginResetModel()
        ordered = sorted(findings, key=lambda f: (f["severity"] != "block", f["file"], f["rule"]))
        touched = {f["file"] for f in findings}
        self.findings = ordered + [
            {"file": name, "rule": EVERY, "severity": "", "line": 0, "why": {"template": "", "fields": {}}}
            for name in files
            if name not in touched
        ]
        self._reasons.clear()
        self.endResetModel()

    def rules(self) -> Counter[str]:
        """How many findings each rule has."""
        return Counter(f["rule"] for f in self.findings if f["rule"] != EVERY)

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.findings)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole and 0 <= section < 4:
            return self._heads[section]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or not 0 <= index.row() < len(self.findings):
            return None
        finding = self.findings[index.row()]
        if role == FINDING:
            return finding
        if role == KEY:
            return finding["rule"]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == SEVERITY:
            return icon({"block": "failed", "warn": "info"}.get(finding["severity"], "done"))
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), index.column(), finding)
        if role == Qt.ItemDataRole.ToolTipRole and index.column() in (FILE, REASON):
            return self._text(index.row(), index.column(), finding)
        return None

    def _text(self, row: int, column: int, finding: dict[str, Any]) -> str:
        if column == SEVERITY:
            return self._severities.get(finding["severity"], finding["severity"])
        if column == FILE:
            return (
                f"{finding['file']}:{finding['line']}"
                if finding["file"] == METADATA and finding["line"]
                else str(finding["file"])
            )
        if finding["rule"] == EVERY:
            return ""
        if column == RULE:
            return rule_word(finding["rule"])
        if row not in self._reasons:
            self._reasons[row] = why(finding["why"])
        return self._reasons[row]


class FindingsFilter(QSortFilterProxyModel):
    """Rows of one rule, of all rules, or every picture once."""

    def __init__(self, source: FindingsModel) -> None:
        super().__init__(source.parent())
        self._rule = ALL
        self.setSourceModel(source)

    def set_rule(self, rule: str) -> None:
        self.beginFilterChange()
        self._rule = rule
        self.endFilterChange()

    def filterAcceptsRow(self, row: int, parent: Index) -> bool:
        model = self.sourceModel()
        assert isinstance(model, FindingsModel)
        rule = model.findings[row]["rule"]
        return self._rule == EVERY or (rule != EVERY if self._rule == ALL else rule == self._rule)
