"""Starting Python child processes: nothing is imported from the current folder.

A ``numpy.py`` in a downloaded folder would otherwise be run by the first process that imports numpy.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import Any

from engine.contract.paths import VARIABLE, home


def python_command(*arguments: str) -> list[str]:
    """``python -P`` with ``arguments``, such as ``-m``, a module and its own: the start folder is not on its path."""
    return [sys.executable, "-P", *arguments]


def python_environment(**changes: Any) -> dict[str, str]:
    """This process's environment with ``changes`` (None removes a variable), for our own programs.

    The processes that they and their libraries start (accelerate, Ray, multiprocessing) do not import from the start
    folder either; on Windows no program is taken from it either. All use the same data folder. Not for programs that
    the user chose: those may be located there.
    """
    environment = os.environ | {
        VARIABLE: str(home()),
        "PYTHONSAFEPATH": "1",
        "NoDefaultCurrentDirectoryInExePath": "1",
        "PYTHONUTF8": "1",
    }
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = str(value)
    return environment


def pip_command(*arguments: str) -> str:
    """A line to type that runs pip of this interpreter: a plain ``python`` may be another one.

    Double quotes are understood by cmd.exe, PowerShell and sh; single ones not by cmd.exe. ``arguments`` are quoted
    where a shell would read ``<``, ``>`` or brackets in them.
    """
    interpreter = sys.executable or "python"
    if os.name != "nt":
        interpreter = shlex.quote(interpreter)
    elif " " in interpreter:
        interpreter = f'"{interpreter}"'
    quoted = [a if re.fullmatch(r"[A-Za-z0-9._+/=-]+", a) else f'"{a}"' for a in arguments]
    return " ".join([interpreter, "-m", "pip", *quoted])


def pip_install(requirement: str, *options: str) -> str:
    """A line to type that installs ``requirement`` for this interpreter."""
    return pip_command("install", *options, requirement)
