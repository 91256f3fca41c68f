"""Training runs on the disk: one folder each, with its configuration, what is planned for it, its events and its
result.

    home()/training/NAME/config.toml     the configuration, editable by hand; its ``output`` is ``result``
                         plan.json       the window's data: name, state, order
                         events.jsonl    every event of the trainer, as it comes
                         commands.jsonl  commands sent to it
                         trainer.log     its log

The trainer holds a lock in ``result``. A window opened later finds the run by these files alone, and can follow and
control it like the one that started it.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commonart_desktop.core.process import _apart, _environment
from engine.contract.errors import BadFile, OutputFolder, system_words
from engine.contract.files import replacing
from engine.contract.ledger.process_lock import is_held
from engine.contract.paths import home
from engine.contract.python_process import python_command

MODULE = "trainer"
CONFIG, PLAN, EVENTS, COMMANDS, LOG, RESULT = (
    "config.toml",
    "plan.json",
    "events.jsonl",
    "commands.jsonl",
    "trainer.log",
    "result",
)
ENDS = ("finished", "stopped", "broken")
_TAIL = 65_536  # bytes at the end of the events that contain the last one
_RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}  # Windows' devices
_children: dict[
    Path, subprocess.Popen[bytes]
] = {}  # started by this program; they may outlive the page that started them


@dataclass
class Run:
    """``plan``: ``name``, ``state`` (draft, waiting, off), ``created``, ``after_queue``, ``device``, ``kind``,
    ``removed``, ``installed``.
    """

    folder: Path
    plan: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.plan.get("name") or self.folder.name)

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def events(self) -> Path:
        return self.folder / EVENTS

    @property
    def result(self) -> Path:
        return self.folder / RESULT

    @property
    def alive(self) -> bool:
        """Its trainer is running, whoever started it."""
        child = _children.get(self.folder)
        if child is not None:
            if child.poll() is None:
                return True
            _children.pop(self.folder, None)
        return is_held(self.result / ".lock")

    @property
    def begun(self) -> bool:
        """There is a checkpoint to resume from."""
        return any((self.result / "checkpoints").glob("*"))

    def change(self, **values: Any) -> None:
        """Change values of the plan and save it. Raises OutputFolder."""
        self.plan |= values
        _write(self.folder / PLAN, json.dumps(self.plan, ensure_ascii=False, indent=1) + "\n")

    def last(self) -> dict[str, Any]:
        """The last complete event, empty if there is none."""
        try:
            with self.events.open("rb") as f:
                f.seek(max(0, f.seek(0, 2) - _TAIL))
                lines = f.read().splitlines()
        except OSError:
            return {}
        for line in reversed(lines):
            try:
                found = json.loads(line)
                return dict(found)
            except (ValueError, TypeError):
                continue
        return {}

    def state(self) -> str:
        """``draft``, ``waiting``, ``running``, ``paused``, ``done``, ``stopped``, ``failed`` or ``broken-off`` (its
        process died without reporting).
        """
        if self.plan.get("state") == "waiting":
            return "waiting"
        last = str(self.last().get("event", ""))
        if self.alive:
            return "paused" if last == "paused" else "running"
        if last in ENDS:
            return {"finished": "done", "stopped": "stopped", "broken": "failed"}[last]
        return "broken-off" if self.events.exists() else "draft"


def folder_name(name: str) -> str:
    """A result's name as a folder name that is valid on every system."""
    kept = "".join("_" if c in '<>:"/\\|?*' or ord(c) < 32 else c for c in name).strip(". ")[:60] or "training"
    return f"_{kept}" if kept.split(".")[0].lower() in _RESERVED else kept


def runs_folder() -> Path:
    """The folder of all runs."""
    return home() / "training"


def new_run(name: str, config: str, **plan: Any) -> Run:
    """A folder of its own with this configuration. Raises OutputFolder."""
    base, number = runs_folder() / folder_name(name), 1
    try:
        runs_folder().mkdir(parents=True, exist_ok=True)
        while True:
            folder = base if number == 1 else base.with_name(f"{base.name}-{number}")
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
    except OSError as e:
        raise OutputFolder(path=runs_folder(), why=system_words(e)) from e
    run = Run(folder)
    _write(run.config, config)
    run.change(**{"name": name, "state": "draft", "created": time.time()} | plan)
    return run


def list_runs() -> Iterator[Run]:
    """Existing runs, newest first; other folders are skipped."""
    found = []
    for path in runs_folder().glob(f"*/{PLAN}"):
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(plan, dict) and not plan.get("removed"):
            found.append(Run(path.parent, plan))
    yield from sorted(found, key=lambda r: (-float(r.plan.get("created") or 0), r.name))


def start(run: Run) -> None:
    """Start its trainer, which resumes from the last checkpoint if there is one.

    It keeps running when this program ends.

    Raises:
        OutputFolder: nothing can be written in its folder.
    """
    resume = run.begun
    arguments = [str(run.config), "--commands", str(run.folder / COMMANDS), *(["--resume"] if resume else [])]
    try:
        (run.folder / COMMANDS).unlink(missing_ok=True)  # commands to an earlier process are not meant for this one
        with run.events.open("ab" if resume else "wb") as events, (run.folder / LOG).open("wb") as log:
            if events.tell():
                events.write(b"\n")  # completes a line that a kill cut off
            events.write(b'{"event": "resumed"}\n')  # an earlier end is no longer the last event
            events.flush()
            child = subprocess.Popen(
                python_command("-m", MODULE, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=events,
                stderr=log,
                env=_environment(),
                **_apart(),
            )
    except OSError as e:
        raise OutputFolder(path=run.folder, why=system_words(e)) from e
    _children[run.folder] = child
    run.change(state="off", started=time.time())


def tell(run: Run, command: str) -> None:
    """Append one of ``engine.contract.training_events.COMMANDS``. Raises OutputFolder."""
    try:
        with (run.folder / COMMANDS).open("ab") as f:
            f.write(json.dumps({"command": command}).encode() + b"\n")
    except OSError as e:
        raise OutputFolder(path=run.folder, why=system_words(e)) from e


def end(run: Run) -> None:
    """Kill a trainer that this program started, before its first step. Raises OutputFolder."""
    child = _children.pop(run.folder, None)
    if child is None:
        return
    child.kill()
    child.wait()
    try:
        with run.events.open("ab") as f:
            f.write(b'\n{"event": "stopped", "step": 0, "path": ""}\n')
    except OSError as e:
        raise OutputFolder(path=run.folder, why=system_words(e)) from e


def read_config_text(run: Run) -> str:
    """Raises BadFile."""
    try:
        return run.config.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        raise BadFile(path=run.config, why=system_words(e) if isinstance(e, OSError) else str(e)) from e


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode("utf-8"))
