"""What to do when the queue is empty: how each system sleeps or shuts down."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys

from engine.contract.errors import BadValue, FeatureMissing, Phrase, system_words

_SLEEP = {
    "win32": ["rundll32.exe", "powrprof.dll,SetSuspendState", "0,1,0"],
    "darwin": ["pmset", "sleepnow"],
    "linux": ["systemctl", "suspend"],
}
_SHUTDOWN = {
    "win32": ["shutdown", "/s", "/t", "60"],
    "darwin": ["osascript", "-e", 'tell application "System Events" to shut down'],
    "linux": ["systemctl", "poweroff"],
}


def command_for(what: str) -> list[str] | None:
    """The command that ``--then`` stands for; None for ``exit``.

    Raises:
        FeatureMissing: no such command is known for this system.
    """
    if what == "exit":
        return None
    table = {"sleep": _SLEEP, "shutdown": _SHUTDOWN}.get(what)
    if table is None:
        try:
            words = [what] if sys.platform == "win32" else shlex.split(what)
        except ValueError as e:
            raise BadValue(name="then", value=what, why=Phrase("a quotation mark is not closed")) from e
        if sys.platform != "win32" and (not words or shutil.which(words[0]) is None):
            raise BadValue(name="then", value=what, why=Phrase("there is no such command"))
        return words
    if sys.platform not in table:
        raise FeatureMissing(what=what, why=Phrase("this system is not known"))
    return table[sys.platform]


def do(what: str) -> int:
    """Run it; returns the command's exit status."""
    command = command_for(what)
    if command is None:
        return 0
    try:
        if sys.platform == "win32" and what not in ("sleep", "shutdown"):
            return subprocess.run(
                what, shell=True, check=False
            ).returncode  # the user's own command line, as they typed it
        return subprocess.run(command, check=False).returncode
    except OSError as e:
        raise FeatureMissing(what=what, why=system_words(e)) from e
