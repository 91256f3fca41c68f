"""Storage of private keys: the system's keyring if there is one, else a file that only its owner can read.

The differences between POSIX and Windows in file permissions are handled here.
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
PATIENCE = 60.0  # seconds: a keyring may ask the user to unlock it
#: keyrings that store nothing, or store it in clear text
_UNFIT = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer", "keyrings.alt")


def keyring_backend() -> Any | None:
    """The system's keyring, or None if there is none that protects its contents."""
    try:
        logging.getLogger("keyring").setLevel(logging.ERROR)  # a missing keyring is not worth a warning
        import keyring
        from keyring.backends.chainer import ChainerBackend

        found = keyring.get_keyring()
        every = list(found.backends) if isinstance(found, ChainerBackend) else [found]
        return next((b for b in every if not type(b).__module__.startswith(_UNFIT)), None)
    except Exception:  # whatever a system plug-in raises: there is no keyring then
        return None


def _asked(work: Callable[[], Any]) -> Any:
    """Call the keyring with a timeout: a dialog that nobody answers must not block the images for ever.

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
    """Store a PEM key in the keyring under ``name``, or in ``file``, which does not exist yet.

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
            pass  # locked or broken: the file is used
    try:
        write_private(file, key)
    except OSError as e:
        raise SigningFailed(
            why=Phrase("its key cannot be kept in {path} ({reason})", path=file, reason=system_words(e))
        ) from e


def fetch(name: str, file: Path) -> bytes:
    """The key that ``keep`` stored.

    Raises:
        SigningFailed: it is gone, or the keyring refuses it.
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
    """Remove a key from the keyring, if it is there."""
    backend = keyring_backend()
    if backend is not None:
        try:
            _asked(lambda: [backend.delete_password(SERVICE, name)])
        except SigningFailed:
            pass  # it did not exist


def write_private(file: Path, data: bytes) -> None:
    """Write a new file that only its owner may read, from its first byte on; synced. Raises OSError."""
    with fault_point("write key"):
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(fd, "wb") as f:
            if (
                sys.platform == "win32"
            ):  # modes mean nothing there: remove inherited permissions, then grant the owner's
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
