"""A folder, a table or an archive that is no dataset yet: how it is written, the licence of all that name none, and where to put it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.gui.pages.train.labels import why
from commonart_desktop.gui.pages.train.record_editor import LICENCES, licence_box
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint, column
from engine.contract.errors import CommonArtError

_FIELDS = {"license": "license", "license-url": "license_url", "creator": "creator", "source-url": "source_url"}


class ImportPanel(QWidget):
    """``wanted`` carries the arguments of ``trainer.dataset import``; ``target`` is the dataset folder it makes."""

    wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.source = ""
        self.title = QLabel(wordWrap=True, textFormat=Qt.TextFormat.PlainText)
        self.title.setProperty("role", "section")
        about = QLabel(
            self.tr(
                "It has no records of licences yet. Import copies its pictures into a dataset folder and writes down where each comes from."
            ),
            wordWrap=True,
        )
        about.setProperty("role", "muted")
        self.format = QComboBox(accessibleName=self.tr("Written as"))
        for key, text in (
            ("auto", self.tr("find out")),
            ("plain", self.tr("pictures with .txt captions")),
            ("reuse", "REUSE"),
            ("imagefolder", "ImageFolder"),
            ("webdataset", "WebDataset"),
            ("table", self.tr("table (CSV, TSV, JSONL, Parquet)")),
            ("commoncatalog", "CommonCatalog"),
            ("megalith", "Megalith-10M"),
            ("yfcc100m", "YFCC100M"),
            ("smithsonian", "Smithsonian"),
        ):
            self.format.addItem(text, key)
        self.license = licence_box(self.tr("Licence for pictures that name none"))
        self.creator = QLineEdit(accessibleName=self.tr("Creator"))
        self.license_url = QLineEdit(accessibleName=self.tr("Licence address"))
        self.source_url = QLineEdit(accessibleName=self.tr("Source address"))
        self.target = QLineEdit(accessibleName=self.tr("Dataset folder"))
        self.link = QCheckBox(self.tr("Link to the pictures instead of copying them"))
        self.flickr = QCheckBox(self.tr("Numbers in a licence column are those of Flickr"))
        self.under = {key: FieldHint() for key in ("license", "license_url", "creator", "source_url", "target")}
        form = QFormLayout(
            horizontalSpacing=SPACE["m"],
            verticalSpacing=SPACE["s"],
            rowWrapPolicy=QFormLayout.RowWrapPolicy.WrapLongRows,
            fieldGrowthPolicy=QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow,
        )
        form.addRow(self.tr("Written as"), self.format)
        form.addRow(self.tr("Licence for pictures that name none"), column(self.license, self.under["license"]))
        form.addRow(self.tr("Creator"), column(self.creator, self.under["creator"]))
        form.addRow(self.tr("Licence address"), column(self.license_url, self.under["license_url"]))
        form.addRow(self.tr("Source address"), column(self.source_url, self.under["source_url"]))
        form.addRow(self.tr("Dataset folder"), column(self.target, self.under["target"]))
        form.addRow("", self.flickr)
        form.addRow("", self.link)
        self.go = QPushButton(icon("add"), self.tr("Import"), clicked=self._go)
        self.trouble = FieldHint()
        line = QHBoxLayout()
        line.addWidget(self.go)
        line.addStretch()
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(SPACE["m"])
        for widget in (self.title, about):
            whole.addWidget(widget)
        whole.addLayout(form)
        whole.addWidget(self.trouble)
        whole.addLayout(line)
        whole.addStretch()
        self.license.currentTextChanged.connect(self._fill_address)

    def offer(self, source: str) -> None:
        """Ask about this folder or file."""
        self.source = source
        path = Path(source)
        self.title.setText(path.name)
        self.title.setToolTip(source)
        self.target.setText(str(path.with_name(f"{path.stem if path.is_file() else path.name}-dataset")))
        self.complain(None)

    def complain(self, error: CommonArtError | None) -> None:
        for under in (*self.under.values(), self.trouble):
            under.tell("")
        if error is not None:
            key = (
                "license"
                if error.kind == "no-licence"
                else _FIELDS.get(str(error.fields.get("name")), str(error.fields.get("name")))
            )
            self.under.get(key, self.trouble).complain(error)

    def account(self, answer: dict[str, Any]) -> list[str]:
        """What became of everything that an import found, a sentence a line."""
        number = QLocale().toString
        lines = [
            self.tr("{found} files and rows: {taken} images are in, {read} read as records, {left} left out.").format(
                found=number(answer["found"]),
                taken=number(answer["added"] + answer["already"]),
                read=number(answer["read"]),
                left=number(answer["skipped"]),
            )
        ]
        if answer["undecided"]:
            text = self.tr("{count} images: the licence is stated in different ways, or not understood.")
            lines.append(text.format(count=number(answer["undecided"])))
        for reason in answer["reasons"]:
            names = ", ".join(reason["files"][:3]) + (" …" if reason["count"] > 3 else "")
            text = self.tr("{count} left out: {why} ({names})")
            lines.append(text.format(count=number(reason["count"]), why=why(reason["why"]), names=names))
        return lines

    def _fill_address(self, text: str) -> None:
        if text in LICENCES and (not self.license_url.text() or self.license_url.text() in LICENCES.values()):
            self.license_url.setText(LICENCES[text])

    def _go(self) -> None:
        self.complain(None)
        if not self.target.text().strip():
            self.under["target"].tell(self.tr("Choose where the dataset is written."))
            return
        if self.format.currentData() == "plain" and not self.license.currentText().strip():
            self.under["license"].tell(self.tr("Say under which licence these pictures are. It is never guessed."))
            return
        values = {
            "license": self.license.currentText(),
            "license-url": self.license_url.text(),
            "creator": self.creator.text(),
            "source-url": self.source_url.text(),
        }
        self.wanted.emit(
            [
                f"--from={self.source}",
                f"--format={self.format.currentData()}",
                *(f"--{k}={v.strip()}" for k, v in values.items() if v.strip()),
                *(["--license-table=flickr"] if self.flickr.isChecked() else []),
                *(["--link"] if self.link.isChecked() else []),
                "--",
                str(Path(self.target.text().strip()).expanduser().absolute()),
            ]
        )
