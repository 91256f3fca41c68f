"""Starting the engine's programs: a process group of their own on POSIX and Windows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from engine.contract.errors import CommonArtError, EngineStopped, ProtocolError, from_wire
from engine.contract.events import Broken, Event, decode
from engine.contract.files import rename
from engine.contract.paths import home, writing_home
from engine.contract.python_process import python_command, python_environment


def _apart() -> dict[str, Any]:
    """Ctrl+C is for this process alone: the child gets a command."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _environment() -> dict[str, str]:
    # no library may access the network
    return python_environment(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        DO_NOT_TRACK="1",
        TOKENIZERS_PARALLELISM="false",
    )


def program(
    module: str,
    arguments: Sequence[str],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    online: bool = False,
    on_start: Callable[[subprocess.Popen[str]], None] | None = None,
) -> dict[str, Any]:
    """Run ``python -m module``, which answers with one JSON document.

    ``online`` is for the one program that may use the network, when the user asked for it. ``on_start`` gets the
    process, so that it can be ended from another thread.

    Raises:
        CommonArtError: the one that the program reported; EngineStopped if it died without reporting.
    """
    environment = _environment()
    if online:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            environment.pop(name)
    child = subprocess.Popen(
        python_command("-m", module, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment,
    )
    if on_start is not None:
        on_start(child)
    assert child.stdout is not None and child.stderr is not None
    chatter: list[str] = []
    import threading

    def listen(stream: IO[str]) -> None:
        for line in stream:
            try:
                data = json.loads(line)
                if on_progress:
                    on_progress(data["progress"], data["total"])
            except (ValueError, KeyError, TypeError):
                chatter.append(line.rstrip())

    listener = threading.Thread(target=listen, args=(child.stderr,), daemon=True)
    listener.start()
    try:
        text = child.stdout.read()
        child.wait()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    finally:
        listener.join(5)
        child.stdout.close()
        child.stderr.close()
    try:
        answer = json.loads(text)
    except ValueError as e:
        raise EngineStopped(why=(chatter or [f"{module}, {child.returncode}"])[-1]) from e
    if not answer.get("ok"):
        raise from_wire(answer["error"])
    return dict(answer)


class Worker:
    """A running ``engine.worker``, or ``engine.cluster`` where the options say ``--ray``: its events and commands."""

    def __init__(self, ledger: Path, options: Sequence[str], *, debug: bool = False) -> None:
        self._log = None if debug else (home() / "logs" / "worker.log")
        stderr: IO[bytes] | None = None
        if self._log is not None:
            with writing_home():
                self._log.parent.mkdir(parents=True, exist_ok=True)
                if self._log.exists() and self._log.stat().st_size > 1_000_000:
                    rename(self._log, self._log.with_suffix(".old.log"), overwrite=True)
                stderr = self._log.open("ab")
        extra = ["--debug"] if debug else []
        module = "engine.cluster" if "--ray" in options else "engine.worker"
        try:
            self.process = subprocess.Popen(
                python_command("-m", module, str(ledger), *options, *extra),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=_environment(),
                **_apart(),
            )
        finally:
            if stderr is not None:
                stderr.close()

    def events(self) -> Iterator[Event]:
        """Events until the worker ends; if it dies without reporting, the last one is ``Broken``."""
        assert self.process.stdout is not None
        told = False
        for line in self.process.stdout:
            try:
                event = decode(line.decode("utf-8", "replace"))
            except ProtocolError as e:
                event = Broken(error=e.to_wire())
            told = told or isinstance(event, Broken)
            yield event
        code = self.process.wait()
        if code != 0 and not told:
            yield Broken(error=EngineStopped(why=self._last_words(code)).to_wire())

    def _last_words(self, code: int) -> str:
        words = f"exit status {code}"
        if self._log is None:
            return words
        return f"{words}, {self._log}"

    def tell(self, command: str) -> None:
        """Send a command; ignored if the worker is gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"command": command}).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def stop(self, seconds: float = 60.0) -> None:
        """Ask it to quit, wait, and kill it if it does not."""
        self.tell("quit")
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass  # the other end is gone


def error_of(event: Broken) -> CommonArtError:
    """The error that a broken worker reported."""
    return from_wire(event.error)
