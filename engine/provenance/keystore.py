"""Where a private key rests: the system's keyring where there is one, else a file only its owner can read.

POSIX and Windows differ in how a file is kept from others; only this place knows.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import Phrase, SigningFailed, system_words
from engine.contract.fault_injection import fault_point

SERVICE = "CommonArt Desktop signing key"
PATIENCE = 60.0  # seconds: a keyring may ask its owner to unlock it
#: keyrings that keep nothing, or keep it in clear text
_UNFIT = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer", "keyrings.alt")


def keyring_backend() -> Any | None:
    """The system's keyring, or None where there is none that guards what it holds."""
    try:
        logging.getLogger("keyring").setLevel(logging.ERROR)  # a keyring that is not there is no news
        import keyring
        from keyring.backends.chainer import ChainerBackend

        found = keyring.get_keyring()
        every = list(found.backends) if isinstance(found, ChainerBackend) else [found]
        return next((b for b in every if not type(b).__module__.startswith(_UNFIT)), None)
    except Exception:  # whatever a plug-in of the system throws: there is no keyring then
        return None


def _asked(work: Callable[[], Any]) -> Any:
    """Ask the keyring; a dialog that nobody answers must not hold the pictures for ever.

    Raises:
        SigningFailed
    """
    answer: list[Any] = []
    trouble: list[str] = []

    def run() -> None:
        try:
            answer.append(work())
        except Exception as e:
            trouble.append(f"{type(e).__name__}: {e}")

    thread = threading.Thread(target=run, name="keyring", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not answer:
        reason = trouble[0] if trouble else "…"
        raise SigningFailed(why=Phrase("the system's keyring does not answer ({reason})", reason=reason))
    return answer[0]


def keep(name: str, key: bytes, file: Path) -> None:
    """Put a PEM key into the keyring under ``name``, or into ``file``, which is not there yet.

    Raises:
        SigningFailed
    """
    backend = keyring_backend()
    if backend is not None:
        try:
            _asked(lambda: backend.set_password(SERVICE, name, key.decode("ascii")))
            if _asked(lambda: backend.get_password(SERVICE, name)) == key.decode("ascii"):
                return
        except SigningFailed:
            pass  # one that is locked or broken: the file serves
    try:
        write_private(file, key)
    except OSError as e:
        raise SigningFailed(
            why=Phrase("its key cannot be kept in {path} ({reason})", path=file, reason=system_words(e))
        ) from e


def fetch(name: str, file: Path) -> bytes:
    """The key that ``keep`` kept.

    Raises:
        SigningFailed: it is gone, or whoever guards it does not give it.
    """
    try:
        if sys.platform != "win32" and file.stat().st_mode & 0o077:
            file.chmod(0o600)  # copied here by hand
        return file.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as e:
        raise SigningFailed(
            why=Phrase("its key cannot be read from {path} ({reason})", path=file, reason=system_words(e))
        ) from e
    backend = keyring_backend()
    if backend is None:
        raise SigningFailed(
            why=Phrase(
                "its key lies in a keyring that is not at hand in this session; removing {folder} makes a new one",
                folder=file.parent,
            )
        )
    text = _asked(lambda: backend.get_password(SERVICE, name))
    if not isinstance(text, str):
        raise SigningFailed(
            why=Phrase(
                "the system's keyring no longer has its key; removing {folder} makes a new one", folder=file.parent
            )
        )
    return text.encode("ascii", "replace")


def forget(name: str) -> None:
    """Take a key out of the keyring again, if it is there."""
    backend = keyring_backend()
    if backend is not None:
        try:
            _asked(lambda: [backend.delete_password(SERVICE, name)])
        except SigningFailed:
            pass  # it was never there


def write_private(file: Path, data: bytes) -> None:
    """A new file that nobody but its owner may read, from its first byte on; synced. Raises OSError."""
    with fault_point("write key"):
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(fd, "wb") as f:
            if (
                sys.platform == "win32"
            ):  # the mode says nothing there: drop what the folder hands down, then name the owner
                user = f"{os.environ.get('USERDOMAIN', '')}\\{os.environ.get('USERNAME', '')}".lstrip("\\")
                done = subprocess.run(
                    ["icacls", str(file), "/inheritance:r", "/grant:r", f"{user}:F"],
                    capture_output=True,
                    creationflags=subprocess.CREATE_NO_WINDOW,
                    check=False,
                )
                if done.returncode != 0:
                    raise PermissionError(13, "icacls", str(file))
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
