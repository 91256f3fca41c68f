"""A target, and what every one of them must keep to: an answer or a CommonArtError that can be told, no write outside,
bounded memory and time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky, FlakyFailure
from hypothesis.strategies import SearchStrategy

from commonart_desktop.core import i18n
from engine.contract.errors import CommonArtError, from_wire
from tests.fuzz import watch

Files = dict[str, bytes]  # a case: names inside its folder, and bytes
SECONDS = 5.0  # of one case's own processor time
MEMORY = 2 << 30  # bytes of address space a target may take above what the process has
_PLACE = Path(__file__).resolve().parents[2]


class Broken(AssertionError):
    """A target's own property does not hold."""


class TooLong(BaseException):
    """A case does not end."""


@dataclass(frozen=True)
class Target:
    """``cases`` makes folders of files.

    ``read`` gives what the program makes of one (JSON-ready), raising Broken for more than a stray exception.
    """

    name: str
    what: str
    cases: Callable[[], SearchStrategy[Files]]
    read: Callable[[Path], Any]
    prepare: Callable[[Path], None] = lambda home: None  # once, before the first case
    allowed: tuple[str, ...] = ()  # audit events that belong to the target, such as pickle.find_class


@dataclass
class Crash:
    """What went wrong, with the smallest files that do it."""

    key: str
    text: str
    files: Files


@dataclass
class Result:
    """Of one target's run."""

    target: str
    cases: int = 0
    answered: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: list[Crash] = field(default_factory=list)


def put(files: Files, folder: Path) -> Path:
    """An empty folder with these files in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def told(error: CommonArtError) -> None:
    """An error must be a sentence in both languages and cross the wire. Raises Broken."""
    wire = json.loads(json.dumps(error.to_wire(), ensure_ascii=False).encode("utf-8", "backslashreplace"))
    if not str(error).strip() or len(str(error)) > 50_000:
        raise Broken(f"{type(error).__name__} has no sentence, or one of {len(str(error))} letters")
    for one in (error, from_wire(wire)):
        for words in i18n.sentence(one):
            if any((ord(c) < 32 and c not in "\t\n") or "\ud800" <= c <= "\udfff" for c in words):
                raise Broken(f"{type(error).__name__} tells control characters: {words[:200]!r}")


@contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Raises TooLong after so much processor time of this process; on Windows the runner's own limit must do."""
    if sys.platform == "win32":
        yield
        return

    def ring(*_: object) -> None:
        raise TooLong(f"not done after {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def bounded(extra: int) -> Iterator[None]:
    """A limit on this process's address space, ``extra`` bytes above what it has.

    Windows has no such thing and runs without.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    limit = now + extra if hard == resource.RLIM_INFINITY else min(now + extra, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def once(target: Target, folder: Path) -> bool:
    """Read the files in ``folder``: True for an answer, False for a refusal.

    Whatever else comes is a crash, and raised.
    """
    with timed(SECONDS), watch.within(folder.parent, target.allowed) as seen, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a picture's oddities Pillow warns on standard error
        try:
            answer = target.read(folder)
        except CommonArtError as error:
            told(error)
            answer = None
    if seen:
        raise Broken(f"it did what a reader must not: {seen[0]}")
    if answer is None:
        return False
    json.dumps(answer, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return True


def key_of(error: BaseException) -> str:
    """The same fault has the same key: kind, and the innermost line of our own."""
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if Path(f.filename).is_relative_to(_PLACE)
        and ".venv" not in f.filename
        and not Path(f.filename).is_relative_to(_PLACE / "tests" / "fuzz" / "core.py")
    ]
    last = next(
        (f for f in reversed(frames) if "tests" not in Path(f.filename).relative_to(_PLACE).parts),
        frames[-1] if frames else None,
    )
    return (
        f"{type(error).__name__} at {Path(last.filename).relative_to(_PLACE).as_posix()}:{last.lineno}"
        if last
        else type(error).__name__
    )


@contextmanager
def surroundings(work: Path, target: Target) -> Iterator[None]:
    """A data folder of its own, Japanese as the language, no keyring, and the target made ready."""
    home = work / "home"
    home.mkdir(parents=True, exist_ok=True)
    ours = {
        "COMMONART_HOME": str(home),
        "COMMONART_LANG": "ja",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    i18n.language.cache_clear()
    try:
        target.prepare(home)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        i18n.language.cache_clear()


def fuzz(
    target: Target, work: Path, *, seconds: float = 0.0, examples: int = 0, seed: int = 0, most: int = 10
) -> Result:
    """Run cases until ``seconds`` are over, or ``examples`` of them; each fault is found once and made small.

    ``work`` is this run's own folder: the cases lie in ``work/case``, the data folder of the program is ``work/home``.
    """
    result = Result(target.name)
    begin = time.monotonic()
    known: set[str] = set()

    def case(files: Files) -> None:
        folder = put(files, work / "case")
        at = time.process_time()
        try:
            answered = once(target, folder)
        except (Exception, TooLong) as error:
            if key_of(error) in known:
                return
            last.append((error, files))
            raise
        finally:
            result.cases += 1
            result.slowest = max(result.slowest, time.process_time() - at)
        result.answered += answered
        result.refused += not answered

    with surroundings(work, target), bounded(MEMORY):
        cases = target.cases()
        while len(known) < most:
            last: list[tuple[BaseException, Files]] = []
            left = seconds - (time.monotonic() - begin)
            if (seconds and left <= 0) or (not seconds and result.cases >= examples):
                break
            count = examples - result.cases if not seconds else 200
            options = settings(
                max_examples=max(count, 1),
                database=None,
                deadline=None,
                derandomize=False,
                print_blob=False,
                report_multiple_bugs=False,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # hypothesis minds that a case is large
                    seeded(seed)(options(given(cases)(case)))()
            except (Exception, TooLong) as error:
                found, files = last[-1] if last else (error, {})  # hypothesis ends with the smallest
                if isinstance(error, (Flaky, FlakyFailure)) and not last:
                    raise
                known.add(key_of(found))
                text = "".join(traceback.format_exception(found))
                result.crashes.append(Crash(key_of(found), text, files))
            seed += 1
    result.seconds = time.monotonic() - begin
    return result


def keep(crash: Crash, target: str, place: Path) -> Path:
    """Write a reproducer; ``python -m tests.fuzz --again FOLDER TARGET`` runs it. Returns its folder."""
    name = "".join(c if c.isalnum() else "-" for c in crash.key)
    folder = put(crash.files, place / target / name / "files").parent
    (folder / "told.txt").write_text(crash.text, encoding="utf-8", errors="backslashreplace")
    return folder
