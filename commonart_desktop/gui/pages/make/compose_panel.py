"""The compose side of the Make page: prompt and settings, and adding them to the queue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QLocale, QTimer
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from commonart_desktop.core.compose import PromptOrder, orders
from commonart_desktop.core.i18n import printable, say, sentence
from commonart_desktop.gui.background.incremental import Steps
from commonart_desktop.gui.background.tasks import Task
from commonart_desktop.gui.context import Context
from commonart_desktop.gui.pages.make.compose_form import ComposeForm
from commonart_desktop.gui.pages.make.first_run import FirstRun
from commonart_desktop.gui.pages.make.jobs import (
    AddedJob,
    enqueue,
    preview,
    settings_of_image,
    settings_of_request,
    take_back,
)
from commonart_desktop.gui.pages.make.presets import PresetBar
from commonart_desktop.gui.style.tokens import SPACE
from commonart_desktop.gui.widgets.fields import FieldHint
from commonart_desktop.gui.widgets.form_scroll import FormScroll
from commonart_desktop.gui.widgets.prompt_edit import PromptEdit
from commonart_desktop.gui.widgets.shortcuts import KEYS, native
from commonart_desktop.gui.widgets.staged_page import StagedPage
from engine.contract.errors import CommonArtError, Phrase
from engine.contract.promptfile import SUFFIXES, without_comment
from engine.contract.request import ImageRequest

IMAGES = (".png", ".webp", ".jpg", ".jpeg")
LORA = ".safetensors"
NOTES = 3  # that are shown of a prompt file
DRAFT = "compose/draft"  # in context.state: the panel's values as JSON


class ComposePanel(StagedPage):
    """Prompt, settings, and two ways to make images."""

    def make(self, context: Context) -> Steps:
        self._context = context
        self._adding = 0  # jobs that are being added to the ledger
        self._counted: tuple[str, int, int] | None = None  # what the line below the prompt shows
        self._counting = False
        self._shown = False
        self.setAcceptDrops(True)
        self.prompt = PromptEdit(5, template=True)
        self.prompt.setAccessibleName(self.tr("Prompt"))
        self.prompt.setPlaceholderText(
            self.tr("What should be drawn? For example: りんご、フラット調 / a red apple, flat style")
        )
        self.prompt_error, self.total, self.sample = FieldHint(), QLabel(), FieldHint("hint")
        self.total.setProperty("role", "muted")
        self.negative = PromptEdit(2, template=False)
        self.negative.setAccessibleName(self.tr("Negative prompt"))
        self.negative.setPlaceholderText(self.tr("What should not be in the image (may stay empty)"))
        yield
        self.form = ComposeForm(context, in_turns=True)
        yield from self.form.making
        yield
        self.presets = PresetBar(lambda: self.values(), context.notices)
        self.card = FirstRun()
        self.add_button, self.now_button = QPushButton(self.tr("Add to queue")), QPushButton(self.tr("Make one now"))
        yield
        self._lay_out()
        yield
        self._draft_timer = QTimer(self, singleShot=True, interval=1000)
        self._draft_timer.timeout.connect(self._save_draft)
        self._count_timer = QTimer(self, singleShot=True, interval=200)
        self._count_timer.timeout.connect(self._recount)
        self._restore()
        self._connect()
        self._recount()

    def _lay_out(self) -> None:
        inside = QWidget()
        fields = QVBoxLayout(inside)
        fields.setContentsMargins(SPACE["l"], SPACE["l"], SPACE["l"], SPACE["s"])
        fields.setSpacing(SPACE["s"])
        title = QLabel(self.tr("Compose"))
        title.setProperty("role", "title")
        for w in (
            title,
            self.card,
            self.prompt,
            self.prompt_error,
            self.total,
            self.sample,
            self.negative,
            self.presets,
            self.form,
        ):
            fields.addWidget(w)
        fields.addStretch()
        scroll = FormScroll(inside)
        self._scroll, self._inside = scroll, inside
        actions = QHBoxLayout()
        actions.setContentsMargins(SPACE["l"], SPACE["s"], SPACE["l"], SPACE["m"])
        actions.setSpacing(SPACE["s"])
        self.add_button.setProperty("main", True)
        for button, key in ((self.add_button, "Ctrl+Return"), (self.now_button, "Ctrl+Shift+Return")):
            button.setProperty(KEYS, key)
            button.setToolTip(f"{button.text()} ({native(key)})")
        actions.addWidget(self.add_button, 1)
        actions.addWidget(self.now_button)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(scroll, 1)
        outer.addLayout(actions)

    def _connect(self) -> None:
        for key, action in (("Ctrl+{}", self.add), ("Ctrl+Shift+{}", self.make_one)):
            shortcut = QShortcut(self)
            shortcut.setKeys([QKeySequence(key.format(name)) for name in ("Return", "Enter")])
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(action)
        self.add_button.clicked.connect(self.add)
        self.now_button.clicked.connect(self.make_one)
        self.card.chosen.connect(self._on_example)
        for edit in (self.prompt, self.negative):
            edit.edited.connect(self._on_change)
            edit.files.connect(self.take_files)
        self.prompt.lines.connect(self._on_lines)
        self.form.changed.connect(self._on_change)
        self.presets.chosen.connect(self.fill)

    def _fit(self) -> None:
        """Set the minimum width of the fields: there is no horizontal scroll bar."""
        self._scroll.setMinimumWidth(
            self._inside.minimumSizeHint().width() + self._scroll.verticalScrollBar().sizeHint().width()
        )

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._shown:
            self._fit()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()
        if not self._shown:
            self._shown = True
            self.prompt.setFocus()

    # values and drafts --------------------------------------------------------------------------------------------

    def values(self) -> dict[str, Any]:
        """The values of all fields, JSON-ready."""
        return {"prompt": self.prompt.toPlainText(), "negative": self.negative.toPlainText()} | self.form.values()

    def fill(self, values: dict[str, Any]) -> None:
        """Set fields; missing values leave theirs unchanged. Can be undone with Ctrl+Z."""
        for edit, key in ((self.prompt, "prompt"), (self.negative, "negative")):
            text = values.get(key)
            if isinstance(text, str) and text != edit.toPlainText():
                cursor = edit.textCursor()
                cursor.select(cursor.SelectionType.Document)
                cursor.insertText(text)  # setPlainText would clear the undo history
        self.form.fill(values)

    def use_request(self, request: ImageRequest) -> None:
        """Use the settings of an existing or queued image."""
        self.fill(settings_of_request(request))

    def _restore(self) -> None:
        try:
            draft = json.loads(str(self._context.state.value(DRAFT, "")))
        except ValueError:
            draft = None
        if isinstance(draft, dict):
            self.fill(draft)
            for edit in (self.prompt, self.negative):
                edit.document().clearUndoRedoStacks()
        empty = not self.prompt.toPlainText()
        self.card.setVisible(empty and not any(self._context.ledger.counts().values()))
        self.presets.follow()

    def _save_draft(self) -> None:
        self._draft_timer.stop()
        self._context.state.setValue(DRAFT, json.dumps(self.values(), ensure_ascii=False))

    def keep(self) -> None:
        """Save a draft that was not saved yet."""
        if self._draft_timer.isActive():
            self._save_draft()

    def _on_change(self) -> None:
        self._draft_timer.start()
        self._count_timer.start()
        self.presets.follow()

    def _on_example(self, prompt: str) -> None:
        self.fill({"prompt": prompt})
        self.now_button.setFocus()

    # the line below the prompt ------------------------------------------------------------------------------------

    def _recount(self) -> None:
        """Count and expand in a thread (wildcard files may be large), one at a time; the newest text wins."""
        wanted = (self.prompt.toPlainText(), self.form.count.value(), self.form.seed.value() or 0)
        if self._counting or wanted == self._counted:
            return
        self._counted = wanted
        if not wanted[0].strip():
            self._show_count(0, "")
            return
        self._counting = True
        Task(
            self,
            lambda task: preview(*wanted),
            done=lambda found: self._on_counted(*found),
            failed=self._on_miscounted,
        )

    def _on_counted(self, total: int, first: str) -> None:
        self._counting = False
        self._show_count(total, first)
        self._recount()

    def _on_miscounted(self, error: CommonArtError) -> None:
        self._counting = False
        self.total.setText("")
        self.sample.tell("")
        self.prompt_error.tell(sentence(error)[0])
        self._recount()

    def _show_count(self, total: int, first: str) -> None:
        self.prompt_error.tell("")
        number = QLocale().toString(total)
        self.total.setText(
            ""
            if not total
            else self.tr("= 1 image")
            if total == 1
            else self.tr("= {count} images").format(count=number)
        )
        self.total.setVisible(bool(total))
        plain = first == self.prompt.toPlainText()
        short = first if len(first) <= 160 else first[:159] + "…"
        self.sample.tell("" if plain or not total else self.tr("For example: {prompt}").format(prompt=short))
        self.form.set_sample(first)

    # adding to the queue ------------------------------------------------------------------------------------------

    def add(self) -> None:
        """Add all combinations of the prompt at the end of the queue."""
        self._order(now=False)

    def make_one(self) -> None:
        """Add one image ahead of the queue."""
        self._order(now=True)

    def _order(self, *, now: bool) -> None:
        text = self.prompt.toPlainText()
        if not text.strip():
            self.prompt_error.tell(self.tr("Write a prompt first."))
            self.prompt.setFocus()
            return
        if not self._settings_are_valid():
            return
        name = self.form.job.text().strip() or " ".join(text.split())[:60]
        self._enqueue(name, [PromptOrder(prompt=text)], None, now=now)

    def _settings_are_valid(self) -> bool:
        """Whether a job can be made with them; if not, the field is shown."""
        field = self.form.first_problem()
        if field is not None:
            field.setFocus()
            self._context.notices.say(self.tr("One of the settings is not valid; see the field."))
        return field is None

    def _enqueue(self, name: str, wanted: Sequence[PromptOrder], file: Path | None, *, now: bool = False) -> None:
        ledger, base = self._context.ledger.path, self.form.base() | {"negative": self.negative.toPlainText()}
        count, seed = self.form.count.value(), self.form.seed.value()
        notes: list[Phrase] = []
        self._save_draft()
        self._busy(+1)

        def work(task: Task) -> AddedJob:
            return enqueue(
                ledger,
                name,
                orders([], file, note=notes.append) if file else wanted,
                base,
                count=1 if now else count,
                seed=seed,
                now=now,
                notes=notes,
            )

        Task(self, work, done=self._on_added, failed=self._on_refused)

    def _busy(self, step: int) -> None:
        self._adding += step
        self.add_button.setText(self.tr("Adding…") if self._adding else self.tr("Add to queue"))

    def _on_added(self, done: AddedJob) -> None:
        self._busy(-1)
        self.card.hide()
        self.form.seed.used(done.last_seed)
        hint = ""
        if done.stranded:
            hint = self.tr("The last run was cut off; resume it in the queue, then these are made too.")
        elif done.paused:
            hint = self.tr("The queue is paused.")
        hint = " ".join([hint, *(printable(say(note)) for note in done.notes[:NOTES])]).strip()
        text = (
            self.tr("1 image added")
            if done.count == 1
            else self.tr("{count} images added").format(count=QLocale().toString(done.count))
        )
        self._context.notices.say(text, hint, self.tr("Undo"), lambda: self._take_back(done.job))
        if not done.stranded:
            self._context.engine.start()

    def _on_refused(self, error: CommonArtError) -> None:
        self._busy(-1)
        self._context.notices.complain(error)

    def _take_back(self, job: int) -> None:
        ledger = self._context.ledger.path
        Task(
            self,
            lambda task: take_back(ledger, job),
            done=self._on_taken_back,
            failed=self._context.notices.complain,
        )

    def _on_taken_back(self, count: int) -> None:
        number = QLocale().toString(count)
        self._context.notices.say(
            self.tr("1 image taken off the queue")
            if count == 1
            else self.tr("{count} images taken off the queue").format(count=number)
        )

    def _on_lines(self, lines: list[str]) -> None:
        """Several lines were pasted: one prompt, unless the user says that each is one, as in a .txt."""
        prompts = [prompt for line in lines if (prompt := without_comment(line))]
        if len(prompts) < 2:
            return
        text, number = self.prompt.toPlainText(), QLocale().toString(len(prompts))

        def each() -> None:
            if not self._settings_are_valid():
                return
            if self.prompt.toPlainText() == text:
                self.prompt.undo()  # what was pasted goes to the queue instead
            self._enqueue(prompts[0][:60], [PromptOrder(prompt=prompt) for prompt in prompts], None)

        skipped = len(lines) - len(prompts)
        hint = (
            self.tr("Lines that begin with # are skipped as comments: {count}.").format(
                count=QLocale().toString(skipped)
            )
            if skipped
            else ""
        )
        self._context.notices.say(
            self.tr("The pasted lines are one prompt. Are they {count} prompts?").format(count=number),
            hint,
            self.tr("Queue {count} prompts").format(count=number),
            each,
        )

    # files dropped or pasted --------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        event.acceptProposedAction()
        self.take_files([url.toLocalFile() for url in event.mimeData().urls()])

    def take_files(self, paths: Sequence[str]) -> None:
        """Prompt files become jobs, an image's settings fill the fields, a LoRA is added."""
        images = []
        for path in map(Path, paths):
            if path.suffix.lower() in SUFFIXES:
                self._enqueue(path.name, [], path)
            elif path.suffix.lower() in IMAGES:
                images.append(path)
            elif path.suffix.lower() == LORA or any(path.glob(f"adapter_model{LORA}")):
                self.form.loras.add(str(path))
            else:
                self._context.notices.say(
                    self.tr("{name} cannot be used here.").format(name=path.name or "…"),
                    self.tr(
                        "Drop a list of prompts ({lists}), an image made by this program ({images}), or a LoRA "
                        "({lora})."
                    ).format(lists=" ".join(SUFFIXES), images=" ".join(IMAGES[:3]), lora=LORA),
                )
        if images:
            chosen = images[-1]
            Task(
                self,
                lambda task: settings_of_image(str(chosen)),
                done=lambda v: self._on_image(chosen.name, v),
                failed=self._context.notices.complain,
            )

    def _on_image(self, name: str, values: dict[str, Any]) -> None:
        before = self.values()
        self.fill(values)
        self._context.notices.say(
            self.tr("The settings are those of {name}").format(name=name),
            "",
            self.tr("Undo"),
            lambda: self.fill(before),
        )
