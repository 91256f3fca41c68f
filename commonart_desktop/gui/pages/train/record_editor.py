"""The records of the selected pictures, to be put right in place: one picture, or several at once."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication, Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, column
from engine.contract.errors import CommonArtError

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "LicenseRef-Own": "",
    "MIT": "",
    "Apache-2.0": "",
}
LINES = ("license", "creator", "license_url", "source_url")
CAPTIONS = ("text", "text_ja")


def licence_box(name: str) -> QComboBox:
    """A field for an SPDX expression with the usual ones at hand; nothing is chosen in it."""
    box = QComboBox(editable=True, accessibleName=name, minimumContentsLength=12)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    box.addItems(list(LICENCES))
    box.setCurrentIndex(-1)
    box.setEditText("")
    box.lineEdit().setPlaceholderText(QCoreApplication.translate("train", "such as CC-BY-4.0"))
    return box


class RecordEditor(QWidget):
    """``wanted`` carries changes as ``trainer.dataset edit`` takes them. Fields that were not touched change nothing."""

    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._files: list[str] = []
        self._line = 0  # of metadata.jsonl, where the row itself cannot be read
        self._before: dict[str, str | None] = {}  # None: the selected differ
        self.title = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.title.setProperty("role", "section")
        self.license = licence_box(self.tr("Licence"))
        self._example = self.license.lineEdit().placeholderText()
        self.lines: dict[str, QLineEdit] = {"license": self.license.lineEdit()}
        names = {
            "creator": self.tr("Creator"),
            "license_url": self.tr("Licence address"),
            "source_url": self.tr("Source address"),
            "text": self.tr("English captions"),
            "text_ja": self.tr("Japanese captions"),
        }
        for key in LINES[1:]:
            self.lines[key] = QLineEdit(accessibleName=names[key])
        self.captions = {
            key: QPlainTextEdit(accessibleName=names[key], tabChangesFocus=True, toolTip=self.tr("One caption a line"))
            for key in CAPTIONS
        }
        for edit in self.captions.values():
            edit.setFixedHeight(edit.fontMetrics().lineSpacing() * 3 + SPACE["l"])
        self.under = {key: FieldHint() for key in (*LINES, *CAPTIONS)}
        form = QFormLayout(
            horizontalSpacing=SPACE["m"],
            verticalSpacing=SPACE["s"],
            rowWrapPolicy=QFormLayout.RowWrapPolicy.WrapLongRows,
            fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
        )
        form.addRow(self.tr("Licence"), column(self.license, self.under["license"]))
        for key in LINES[1:]:
            form.addRow(names[key], column(self.lines[key], self.under[key]))
        for key in CAPTIONS:
            form.addRow(names[key], column(self.captions[key], self.under[key]))
        self.save = QPushButton(
            icon("save"),
            self.tr("Save changes"),
            toolTip=self.tr("Save changes (Ctrl+S)"),
            shortcut="Ctrl+S",
            clicked=self._save,
        )
        self.rehash = QPushButton(
            self.tr("Accept the file as it is"),
            toolTip=self.tr("Record the hash that the file has now"),
            clicked=lambda: self._ask(rehash=True),
        )
        self.remove = QToolButton(
            icon=icon("trash"),
            text=self.tr("Take out the record"),
            toolTip=self.tr("The picture itself stays"),
            toolButtonStyle=Qt.ToolButtonStyle.ToolButtonTextBesideIcon,
            clicked=lambda: self._ask(remove=True),
        )
        self.told, self.reasons = FieldHint("muted"), FieldHint("muted")
        self.trouble = FieldHint()
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for button in (self.save, self.rehash, self.remove):
            buttons.addWidget(button)
        buttons.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["s"])
        whole.addWidget(self.title)
        whole.addWidget(self.reasons)
        whole.addLayout(form)
        whole.addWidget(self.trouble)
        whole.addWidget(self.told)
        whole.addLayout(buttons)
        self.license.currentTextChanged.connect(self._fill_address)
        for line in self.lines.values():
            line.textChanged.connect(self._touched)
        for edit in self.captions.values():
            edit.textChanged.connect(self._touched)
        self.show_records([], [], set(), 0, [])

    def show_records(
        self, files: list[str], records: list[dict[str, Any]], rules: set[str], line: int, reasons: list[str]
    ) -> None:
        """The selected pictures and their records as far as they have some; ``rules`` and ``reasons`` are what was found about them."""
        self.reasons.tell("\n".join(r for r in reasons if r))
        self._files, self._line = files, line
        count = len(files)
        self.title.setText(
            self.tr("metadata.jsonl, line {line}").format(line=line)
            if line and not files
            else files[0]
            if count == 1
            else self.tr("{count} images").format(count=count)
            if count
            else self.tr("Nothing selected")
        )
        self._before = {}
        for key in (*LINES, *CAPTIONS):
            values = {self._text(r.get(key)) for r in records} | ({""} if len(records) < count else set())
            self._before[key] = values.pop() if len(values) == 1 else None if values else ""
        various = self.tr("various; what you enter applies to all")
        for key, field in self.lines.items():
            value = self._before[key]
            field.blockSignals(True)
            if key == "license":
                self.license.blockSignals(True)
                self.license.setCurrentIndex(-1)
                self.license.setEditText(value or "")
                self.license.blockSignals(False)
            field.setText(value or "")
            field.setCursorPosition(0)
            field.setPlaceholderText(various if value is None else self._example if key == "license" else "")
            field.blockSignals(False)
        for key, edit in self.captions.items():
            edit.blockSignals(True)
            edit.setPlainText(self._before[key] or "")
            edit.setPlaceholderText(various if self._before[key] is None else "")
            edit.blockSignals(False)
        self.say("")
        self.complain(None)
        self.setEnabled(bool(files or line))
        self.rehash.setVisible(bool(rules & {"hash-differs", "hash-missing"}))
        self.remove.setVisible(bool(records or line))
        self._touched()

    def changed(self) -> dict[str, Any]:
        """Columns whose text is another now."""
        found: dict[str, Any] = {
            k: f.text().strip() for k, f in self.lines.items() if f.text().strip() != (self._before[k] or "").strip()
        }
        for key, edit in self.captions.items():
            if edit.toPlainText() != (self._before[key] or ""):
                found[key] = [t.strip() for t in edit.toPlainText().splitlines() if t.strip()]
        return found

    def complain(self, error: CommonArtError | None) -> None:
        """Under the field that it is about, or below all."""
        for under in (*self.under.values(), self.trouble):
            under.tell("")
        if error is not None:
            place = self.under.get(str(error.fields.get("name")), self.trouble)
            place.complain(error)
            field = self.lines.get(str(error.fields.get("name")))
            if field is not None:
                field.setAccessibleDescription(sentence(error)[0])

    def say(self, text: str) -> None:
        """A quiet word below the fields."""
        self.told.tell(text)

    @staticmethod
    def _text(value: Any) -> str:
        return "\n".join(str(v) for v in value) if isinstance(value, list) else str(value or "")

    def _fill_address(self, text: str) -> None:
        """The address of a known licence, unless somebody wrote another one."""
        address = self.lines["license_url"]
        if text in LICENCES and (not address.text() or address.text() in LICENCES.values()):
            address.setText(LICENCES[text])

    def _touched(self) -> None:
        self.save.setEnabled(bool(self._files) and bool(self.changed()))

    def _save(self) -> None:
        self.complain(None)
        values = self.changed()
        if values and self._files:
            self.wanted.emit([{"files": self._files, "set": values}])

    def _ask(self, *, rehash: bool = False, remove: bool = False) -> None:
        self.complain(None)
        if self._files:
            self.wanted.emit([{"files": self._files, "rehash": rehash, "remove": remove}])
        elif self._line and remove:
            self.wanted.emit([{"line": self._line, "remove": True}])
