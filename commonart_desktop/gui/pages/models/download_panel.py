"""Fetching a model: first what it is, its licences and sizes; the download only when the user presses the button."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from commonart_desktop.core.i18n import sentence
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.models.detail import PROGRAM
from commonart_desktop.gui.style.theme import icon
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.labels import label, size
from engine.contract.errors import CommonArtError

MODEL, ENCODER, VAE = "aipicasso/commonart-beta", "cyberagent/calm2-7b", "madebyollin/sdxl-vae-fp16-fix"


def offers(task: Task, repos: list[str], options: list[str]) -> list[dict[str, Any]]:
    """What the hub would give for each repository."""
    return [task.program(PROGRAM, ["get", repo, *options, "--dry-run"], online=True) for repo in repos]


def fetch(task: Task, shown: list[dict[str, Any]], parts: list[str], options: list[str]) -> str:
    """Fetch what was shown, convert what is pickled, and join the parts to the model; returns the model's folder."""
    total, done, places = sum(one["bytes"] for one in shown), 0, []
    for one in shown:
        pickled = [f for f in one["files"] if f["path"].endswith((".bin", ".pt", ".pth", ".ckpt"))]
        answer = task.program(
            PROGRAM,
            ["get", one["repo"], *options, "--expect", one["commit"]],
            online=True,
            on_progress=lambda own, _, before=done: task.progress(before + own, total),
        )
        if pickled:
            task.program(PROGRAM, ["convert", answer["path"]], on_progress=lambda own, whole: None)
        done += one["bytes"]
        task.progress(done, total)
        places.append(answer["path"])
    arguments = ["resolve", places[0]]
    for option, place in zip(parts, places[1:], strict=True):
        arguments += [option, place]
    if parts:
        task.program(PROGRAM, arguments, on_progress=lambda own, whole: None)
    return str(places[0])


class DownloadPanel(QWidget):
    """``fetched(folder)`` when a model is here; ``closed`` when the user goes back."""

    fetched = Signal(str)
    closed = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._task: Task | None = None
        self._offer: list[dict[str, Any]] = []
        self.model, self.encoder, self.vae = QLineEdit(MODEL), QLineEdit(ENCODER), QLineEdit(VAE)
        self.endpoint = QLineEdit(
            str(context.state.value("models/endpoint", "")), placeholderText="https://huggingface.co"
        )
        self.proxy = QLineEdit(str(context.state.value("models/proxy", "")), placeholderText=self.tr("by the system"))
        self.pickles = QCheckBox(
            self.tr("Also download pickled weights where there are no others, and convert them here")
        )
        self.pickles.setToolTip(
            self.tr("They are read without running anything in them. Allow it only if you trust where they come from.")
        )
        self.look = QPushButton(self.tr("Show licences and sizes"), clicked=self.ask)
        self.get = QPushButton(self.tr("Download"), clicked=self.start, enabled=False, visible=False)
        self.get.setProperty("main", True)
        self.cancel = QPushButton(self.tr("Cancel"), clicked=self.stop)
        self.back = QToolButton(
            icon=icon("close"),
            toolTip=self.tr("Close (Esc)"),
            accessibleName=self.tr("Close"),
            shortcut="Esc",
            clicked=self._close,
        )
        self.told, self.problem, self.hint, self.doing = label(), label(), label(role="hint"), label(role="muted")
        self.bar = QProgressBar(textVisible=False, accessibleName=self.tr("Progress"))
        form = QFormLayout(horizontalSpacing=SPACE["m"], verticalSpacing=SPACE["s"])
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name, field in (
            (self.tr("Model"), self.model),
            (self.tr("Text encoder"), self.encoder),
            (self.tr("VAE"), self.vae),
            (self.tr("Address"), self.endpoint),
            (self.tr("Proxy"), self.proxy),
        ):
            form.addRow(name, field)
            field.textEdited.connect(self._forget)
            field.returnPressed.connect(self.ask)
        self.pickles.toggled.connect(self._forget)
        head = QHBoxLayout()
        head.addWidget(label(self.tr("Get a model"), "title"), 1)
        head.addWidget(self.back, 0, Qt.AlignmentFlag.AlignTop)
        buttons = QHBoxLayout(spacing=SPACE["s"])
        for button in (self.look, self.get):
            buttons.addWidget(button)
        buttons.addStretch()
        progress = QHBoxLayout(spacing=SPACE["s"])
        progress.addWidget(self.bar, 1)
        progress.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["l"])
        column.setSpacing(SPACE["m"])
        column.addLayout(head)
        column.addWidget(
            label(
                self.tr(
                    "This is the only place where this program uses the network, and only when you press a button here. "
                    "Leave the parts empty for a model that brings its own."
                ),
                "muted",
            )
        )
        column.addLayout(form)
        column.addWidget(self.pickles)
        column.addLayout(buttons)
        for widget in (self.problem, self.hint, self.doing):
            column.addWidget(widget)
        column.addLayout(progress)
        column.addWidget(self.told)
        column.addStretch()
        self._quiet()
        self._complain(None)

    def _repos(self) -> list[str]:
        return [t for t in (f.text().strip() for f in (self.model, self.encoder, self.vae)) if t]

    def _options(self) -> list[str]:
        options = ["--allow-pickles"] if self.pickles.isChecked() else []
        for name, field in (("endpoint", self.endpoint), ("proxy", self.proxy)):
            self._context.state.setValue(f"models/{name}", field.text().strip())
            if field.text().strip():
                options += [f"--{name}", field.text().strip()]
        return options

    def _forget(self) -> None:
        """What was shown is no longer what would be fetched."""
        self._offer = []
        self.told.setText("")
        self.get.setEnabled(False)
        self.get.hide()

    def _complain(self, error: CommonArtError | None) -> None:
        text, hint = sentence(error) if error else ("", "")
        for widget, words in ((self.problem, text), (self.hint, hint)):
            widget.setText(words)
            widget.setVisible(bool(words))

    def _busy(self, doing: str) -> None:
        self._complain(None)
        self.doing.setText(doing)
        self.doing.show()
        self.cancel.show()
        self.look.setEnabled(False)
        self.get.setEnabled(False)
        for field in (self.model, self.encoder, self.vae, self.endpoint, self.proxy, self.pickles):
            field.setEnabled(False)

    def _quiet(self) -> None:
        self._task = None
        for widget in (self.doing, self.bar, self.cancel):
            widget.hide()
        for field in (self.model, self.encoder, self.vae, self.endpoint, self.proxy, self.pickles):
            field.setEnabled(True)
        self.look.setEnabled(True)
        self.get.setEnabled(bool(self._offer))
        self.get.setVisible(bool(self._offer))

    def ask(self) -> None:
        """Ask the hub what there is."""
        if not self.model.text().strip() or self._task is not None:
            return
        self._forget()
        repos, options = self._repos(), self._options()
        self._busy(self.tr("Asking the hub…"))
        self._task = Task(self, lambda task: offers(task, repos, options), done=self._show_offer, failed=self._failed)

    def _show_offer(self, found: list[dict[str, Any]]) -> None:
        self._offer = found
        lines = []
        for one in found:
            lines.append(one["repo"])
            lines.append(
                "    " + self.tr("licence: {licence}").format(licence=one["licence"] or self.tr("none is named"))
            )
            lines.append(
                "    "
                + self.tr("{count} files, {size}, {left} left to download").format(
                    count=QLocale().toString(len(one["files"])), size=size(one["bytes"]), left=size(one["left"])
                )
            )
            if one["pickled"]:
                lines.append(
                    "    " + self.tr("{size} of weights exist only in pickled form").format(size=size(one["pickled"]))
                )
        left = sum(one["left"] for one in found)
        lines.append(self.tr("{size} left to download in total").format(size=size(left)))
        self.told.setText("\n".join(lines))
        self.get.setText(self.tr("Download {size}").format(size=size(left)) if left else self.tr("Add to the models"))
        self._quiet()

    def start(self) -> None:
        """Fetch what was shown; what is here already is kept, so that it goes on where it stopped."""
        shown, options = self._offer, self._options()
        parts = [o for o, f in (("--text-encoder", self.encoder), ("--vae", self.vae)) if f.text().strip()]
        self._busy(self.tr("Downloading…"))
        self._task = Task(
            self,
            lambda task: fetch(task, shown, parts, options),
            done=self._done,
            failed=self._failed,
            progress=self._progress,
        )

    def _progress(self, done: int, total: int) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(int(1000 * done / max(1, total)))
        self.bar.show()
        self.doing.setText(
            self.tr("{done} of {total}").format(done=size(done), total=size(total))
            if done < total
            else self.tr("Putting it together…")
        )

    def _done(self, folder: str) -> None:
        self._forget()
        self._quiet()
        self.fetched.emit(folder)

    def _failed(self, error: CommonArtError) -> None:
        self._quiet()
        self._complain(error)

    def stop(self) -> None:
        """Stop; what came so far stays and is used the next time."""
        if self._task is not None:
            self._task.cancel()
            self._quiet()
            self._complain(None)
            self.hint.setText(self.tr("Stopped. What was downloaded is kept; the next download continues from there."))
            self.hint.show()

    def _close(self) -> None:
        if self._task is None:
            self.closed.emit()
        else:
            self.stop()
