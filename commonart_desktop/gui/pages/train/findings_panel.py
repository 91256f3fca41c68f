"""What the licence check found, with the picture and its record beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QSplitter,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.gui.images.image_view import ImageView
from commonart_desktop.gui.pages.train.findings_model import (
    ALL,
    EVERY,
    FILE,
    FINDING,
    REASON,
    FindingsFilter,
    FindingsModel,
    picture_of,
)
from commonart_desktop.gui.pages.train.labels import rule_word, why
from commonart_desktop.gui.pages.train.record_editor import RecordEditor
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.form_scroll import FormScroll


class FindingsPanel(QWidget):
    """A table of findings, filtered by rule; the selected ones are put right in ``record``, whose ``wanted`` carries the changes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = ""
        self.records: dict[str, dict[str, Any]] = {}
        self._nothing = False  # the last check found nothing, so that every picture is shown
        self.model = FindingsModel(self)
        self.filter = FindingsFilter(self.model)
        self.table = QTableView(
            accessibleName=self.tr("Findings"),
            showGrid=False,
            selectionBehavior=QAbstractItemView.SelectionBehavior.SelectRows,
            selectionMode=QAbstractItemView.SelectionMode.ExtendedSelection,
            tabKeyNavigation=False,
            wordWrap=False,
        )
        self.table.setModel(self.filter)
        self.table.verticalHeader().hide()
        head = self.table.horizontalHeader()
        head.setHighlightSections(False)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        head.setStretchLastSection(True)
        for section, width in enumerate((84, 160, 168)):
            self.table.setColumnWidth(section, width)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._show_selected())
        self.rule = QComboBox(accessibleName=self.tr("Rule"))
        self.rule.activated.connect(lambda _: self.filter_rule(self.rule.currentData()))
        self.all = QToolButton(
            text=self.tr("Select all"), toolTip=self.tr("Select every row shown (Ctrl+A)"), clicked=self.table.selectAll
        )
        self.picture = ImageView(self.tr("The selected picture"), enlarge=3)
        self.record = RecordEditor()
        self._lay_out()

    def _lay_out(self) -> None:
        line = QHBoxLayout(spacing=SPACE["s"])
        line.addWidget(self.rule, 1)
        line.addWidget(self.all)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, SPACE["s"], 0)
        column.setSpacing(SPACE["s"])
        column.addLayout(line)
        column.addWidget(self.table, 1)
        right = QSplitter(Qt.Orientation.Vertical, childrenCollapsible=False)
        right.addWidget(self.picture)
        inner = QWidget()
        inside = QVBoxLayout(inner)
        inside.setContentsMargins(SPACE["s"], 0, SPACE["s"], 0)
        inside.addWidget(self.record)
        inside.addStretch()
        right.addWidget(FormScroll(inner))
        right.setSizes([150, 440])
        right.setStretchFactor(1, 1)
        self.splitter = QSplitter(childrenCollapsible=False)
        self.splitter.addWidget(left)
        self.splitter.addWidget(right)
        self.splitter.setSizes([620, 400])
        self.splitter.setStretchFactor(0, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.splitter)

    def show_findings(
        self, folder: str, findings: list[dict[str, Any]], records: dict[str, dict[str, Any]], *, passed: bool
    ) -> None:
        """The outcome of a check; what was selected stays selected where it is still found."""
        before = self.selected_files()
        self.folder, self.records = folder, records
        self.model.set_findings(findings, list(records))
        self._fill_rules(passed)
        self._select(before)

    def set_records(self, records: dict[str, dict[str, Any]]) -> None:
        """They were changed; the findings stay until the next check."""
        self.records = records
        self._show_selected()

    def filter_rule(self, rule: str) -> None:
        """Show the findings of one rule, ``ALL`` of them, or ``EVERY`` picture."""
        self.rule.setCurrentIndex(max(0, self.rule.findData(rule)))
        self.filter.set_rule(rule)
        self._show_selected()

    def _fill_rules(self, passed: bool) -> None:
        wanted, counts = self.rule.currentData(), self.model.rules()
        self.rule.clear()
        self.rule.addItem(self.tr("All findings ({count})").format(count=QLocale().toString(sum(counts.values()))), ALL)
        for rule, count in counts.most_common():
            self.rule.addItem(f"{rule_word(rule)} ({QLocale().toString(count)})", rule)
        self.rule.addItem(self.tr("Every picture"), EVERY)
        nothing = passed and not counts and bool(self.records)
        at = self.rule.count() - 1 if nothing else self.rule.findData(ALL if self._nothing else wanted)
        self._nothing = nothing
        self.rule.setCurrentIndex(max(0, at))
        self.filter.set_rule(self.rule.currentData())

    def _findings(self) -> list[dict[str, Any]]:
        return [index.data(FINDING) for index in self.table.selectionModel().selectedRows(FILE)]

    def selected_files(self) -> list[str]:
        """The pictures of the selected rows, each once."""
        return list(dict.fromkeys(filter(None, (picture_of(f) for f in self._findings()))))

    def _show_selected(self) -> None:
        findings, files = self._findings(), self.selected_files()
        line = next((int(f["line"]) for f in findings if f["rule"] == "bad-row"), 0) if not files else 0
        about = (
            [f for f in self.model.findings if f["file"] in set(files) and f["rule"] != EVERY]
            if 0 < len(files) < 1000
            else findings
        )
        reasons = list(dict.fromkeys(why(f["why"]) for f in about)) if len(files) < 2 else []
        self.record.show_records(
            files, [self.records[f] for f in files if f in self.records], {f["rule"] for f in about}, line, reasons
        )
        self.picture.show_file(str(Path(self.folder) / files[0]) if files else "")

    def _select(self, files: list[str]) -> None:
        """Select them again after the rows were made anew; the first row where none is left."""
        wanted = set(files)
        rows = (
            [n for n in range(self.filter.rowCount()) if str(self.filter.index(n, 0).data(FINDING)["file"]) in wanted]
            if wanted
            else []
        )
        chosen = self.table.selectionModel()
        for n in rows[:2000]:
            chosen.select(self.filter.index(n, 0), chosen.SelectionFlag.Select | chosen.SelectionFlag.Rows)
        if not rows and self.filter.rowCount():
            self.table.setCurrentIndex(self.filter.index(0, REASON))
        self._show_selected()
