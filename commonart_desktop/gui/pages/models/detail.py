"""All about one model: its parts, licences, what fits, what is missing, and what can be done about it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QLocale, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label, size
from engine.contract.errors import CommonArtError, from_wire

PROGRAM = "engine.checkpoint"


class ModelDetail(QWidget):
    """``changed`` when something was done to the model, so that the list is read again."""

    changed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._row: dict[str, Any] | None = None
        self._given: dict[str, dict[str, str]] = {}  # model path -> parts chosen here, until all are there
        self._task: Task | None = None
        self._problem: CommonArtError | None = None
        self.title, self.place = label(role="title"), label(role="muted")
        self.problem, self.hint = label(), label(role="hint")
        self.default = QPushButton(self.tr("Use for new pictures"), clicked=self._set_default)
        self.verify = QPushButton(
            self.tr("Verify"), toolTip=self.tr("Read every file from end to end and check it"), clicked=self._verify
        )
        self.convert = QPushButton(self.tr("Convert pickled shards…"), clicked=self._convert)
        self.folder = QPushButton(icon("folder"), self.tr("Open folder"), clicked=self._open)
        self.encoder = QPushButton(
            icon("add"), self.tr("Text encoder folder…"), clicked=lambda: self._choose("text_encoder")
        )
        self.vae = QPushButton(icon("add"), self.tr("VAE folder…"), clicked=lambda: self._choose("vae"))
        self.given = label(role="hint")
        self.cancel = QPushButton(self.tr("Cancel"), clicked=self._stop)
        self.doing, self.bar = label(role="muted"), QProgressBar(textVisible=False)
        self.facts = QGridLayout(horizontalSpacing=SPACE["l"], verticalSpacing=SPACE["s"])
        self.facts.setColumnStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["s"])
        for widget in (self.title, self.place, self.problem, self.hint):
            column.addWidget(widget)
        self._line(column, self.encoder, self.vae)
        column.addWidget(self.given)
        self._line(column, self.default, self.verify, self.convert, self.folder)
        column.addWidget(self.doing)
        self._line(column, self.bar, self.cancel, stretch=False)
        column.addSpacing(SPACE["s"])
        column.addLayout(self.facts)
        column.addStretch()
        self.bar.setAccessibleName(self.tr("Progress"))
        self.show_model(None)

    def _line(self, column: QVBoxLayout, *widgets: QWidget, stretch: bool = True) -> None:
        row = QHBoxLayout(spacing=SPACE["s"])
        for widget in widgets:
            row.addWidget(widget)
        if stretch:
            row.addStretch()
        column.addLayout(row)

    # showing ------------------------------------------------------------------------------------------------------

    def show_model(self, row: dict[str, Any] | None) -> None:
        """Show another model (a row of the list); what ran for the last one is ended."""
        self._stop()
        self._row = row
        self._clear_facts()
        ok = bool(row and row["ok"])
        problem = from_wire(row["problem"]) if row and row["problem"] else None
        self._show_problem(problem)
        self.title.setText(row["name"] if row else self.tr("No model is selected"))
        self.place.setText(row["path"] if row else "")
        kind = problem.kind if problem else ""
        parts = kind in ("missing-part", "needs-conversion", "wrong-tokenizer") or bool(
            row and row["path"] in self._given
        )
        for widget, shown in (
            (self.default, ok),
            (self.verify, ok),
            (self.folder, row is not None),
            (self.encoder, parts),
            (self.vae, parts),
        ):
            widget.setVisible(shown)
        self._show_given()
        if row and ok:
            self.default.setEnabled(not self._is_default(row))
            self._run(self.tr("Reading the files (only the first time)…"), ["info", row["path"]], self._show_info)

    def _is_default(self, row: dict[str, Any]) -> bool:
        return self._context.settings.now.model in (row["name"], row["name"].rsplit("/", 1)[-1], row["path"])

    def _show_problem(self, problem: CommonArtError | None) -> None:
        self._problem = problem
        text, hint = sentence(problem) if problem else ("", "")
        self.convert.setVisible(problem is not None and problem.kind == "needs-conversion")
        if problem is not None and problem.kind == "needs-conversion":
            hint = self.tr("They can be turned into safetensors here.")
        if problem is not None and problem.kind == "missing-part":
            hint = self.tr("Choose its folder here; it is remembered for this model.")
        self.problem.setText(text)
        self.hint.setText(hint)
        self.problem.setVisible(bool(text))
        self.hint.setVisible(bool(hint))

    def _show_given(self) -> None:
        chosen = self._given.get(self._row["path"], {}) if self._row else {}
        self.given.setText("\n".join(chosen.values()))
        self.given.setVisible(bool(chosen))

    def _clear_facts(self) -> None:
        while (item := self.facts.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()

    def _fact(self, name: str, *lines: tuple[str, str]) -> None:
        at = self.facts.rowCount()
        head = label(name, "muted")
        head.setWordWrap(False)
        self.facts.addWidget(head, at, 0, Qt.AlignmentFlag.AlignTop)
        for text, role in lines:
            self.facts.addWidget(label(text, role), at, 1)
            at += 1

    def _show_info(self, info: dict[str, Any]) -> None:
        locale = QLocale()
        self._fact(
            self.tr("Pictures"),
            (
                self.tr("{side} px, sides in multiples of {multiple}, captions up to {tokens} tokens").format(
                    side=locale.toString(info["own_side"]),
                    multiple=info["multiple"],
                    tokens=locale.toString(info["max_tokens"]),
                ),
                "",
            ),
        )
        names = {
            "denoiser": self.tr("Denoiser"),
            "text_encoder": self.tr("Text encoder"),
            "vae": "VAE",
            "tokenizer": self.tr("Tokenizer"),
        }
        for part, title in names.items():
            about = info["parts"].get(part)
            if about is None:
                continue
            told = [size(about["bytes"])]
            if about.get("parameters"):
                told += [
                    about["dtype"],
                    self.tr("{count} parameters").format(count=locale.toString(about["parameters"])),
                ]
            lines = [(", ".join(told), "")]
            if about["sha256"]:
                lines.append((f"SHA-256 {about['sha256'][:16]}…", "muted"))
            if about.get("problem"):
                lines.append((sentence(from_wire(about["problem"]))[0], "bad"))
            self._fact(title, *lines)
            if about["sha256"]:
                self.facts.itemAt(self.facts.count() - 1).widget().setToolTip(about["sha256"])
        licences = [
            (f"{one['licence']} ({', '.join(names.get(p, p) for p in one['parts'])})", "") for one in info["licences"]
        ]
        self._fact(self.tr("Licences"), *(licences or [(self.tr("none was found in its folders"), "")]))
        words = {True: self.tr("fits"), False: self.tr("does not fit"), None: "–"}
        for dtype in [d for d in ("fp32", "bf16", "fp16") if d in (info["memory"] or {})]:  # an exported model has one
            need = info["memory"][dtype]
            text = self.tr("about {need}; memory: {ram}").format(need=size(need["total"]), ram=words[need["fits_ram"]])
            if need["fits_gpu"] is not None:
                text = self.tr("about {need}; memory: {ram}; graphics card: {gpu}").format(
                    need=size(need["total"]), ram=words[need["fits_ram"]], gpu=words[need["fits_gpu"]]
                )
            self._fact(self.tr("Memory, {dtype}").format(dtype=dtype), (text, ""))

    # doing --------------------------------------------------------------------------------------------------------

    def _run(self, doing: str, arguments: list[str], done: Any) -> None:
        self._stop()
        self.doing.setText(doing)
        self.doing.show()
        self.cancel.show()  # and the bar with the first number

        def finished(answer: dict[str, Any]) -> None:
            self._quiet()
            done(answer)

        def failed(error: CommonArtError) -> None:
            self._quiet()
            self._show_problem(error)

        self._task = Task(
            self, lambda task: task.program(PROGRAM, arguments), done=finished, failed=failed, progress=self._progress
        )

    def _progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, 1000)
        self.bar.show()
        self.bar.setValue(int(1000 * done / max(1, total)))

    def _quiet(self) -> None:
        self._task = None
        for widget in (self.doing, self.bar, self.cancel):
            widget.hide()

    def busy(self) -> bool:
        """Whether a program is at work."""
        return self._task is not None

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._quiet()

    def _verify(self) -> None:
        assert self._row is not None
        self._show_problem(None)
        self._run(self.tr("Checking every number…"), ["verify", self._row["path"]], self._verified)

    def _verified(self, answer: dict[str, Any]) -> None:
        self._context.notices.say(
            self.tr("{name} is intact: {count} files were read.").format(
                name=answer["name"], count=len(answer["files"])
            )
        )

    def _set_default(self) -> None:
        assert self._row is not None
        try:
            self._context.settings.put(model=self._row["path"] if self._row["source"] == "added" else self._row["name"])
        except CommonArtError as e:
            self._context.notices.complain(e)
        self.default.setEnabled(False)

    def _open(self) -> None:
        assert self._row is not None
        QDesktopServices.openUrl(QUrl.fromLocalFile(self._row["path"]))

    def _choose(self, part: str) -> None:
        title = self.tr("Text encoder folder") if part == "text_encoder" else self.tr("VAE folder")
        folder = QFileDialog.getExistingDirectory(self, title)
        if folder:
            self.give(part, folder)

    def give(self, part: str, folder: str) -> None:
        """A part's folder was chosen; with all of them the engine takes and remembers them."""
        assert self._row is not None
        path = self._row["path"]
        self._given.setdefault(path, {})[part] = folder
        self._show_given()
        self._resolve(path)

    def _resolve(self, path: str) -> None:
        arguments = ["resolve", path]
        for name, place in self._given.get(path, {}).items():
            arguments += ["--" + name.replace("_", "-"), place]

        def taken(_: dict[str, Any]) -> None:
            self._given.pop(path, None)
            self.changed.emit()

        self._run(self.tr("Looking at the parts…"), arguments, taken)

    def _convert(self) -> None:
        assert self._row is not None and self._problem is not None
        path, folder = self._row["path"], str(self._problem.fields["path"])
        box = QMessageBox(
            QMessageBox.Icon.NoIcon,
            self.tr("Convert pickled weights"),
            self.tr(
                "The weights in {folder} are pickled. They are read here without running anything in them, and written beside as safetensors; "
                "this takes as much disk space again. The old files stay. Convert them only if you trust where they come from."
            ).format(folder=folder),
            QMessageBox.StandardButton.Cancel,
            self,
        )
        go = box.addButton(self.tr("Convert"), QMessageBox.ButtonRole.AcceptRole)
        box.setDefaultButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is go:
            self._run(
                self.tr("Converting…"),
                ["convert", folder],
                lambda _: self._resolve(path) if path in self._given else self.changed.emit(),
            )
