"""Fault injection: every file and database operation that matters for durability passes through ``fault_point``.

Without ``COMMONART_FAULT`` in the environment this is one comparison. With it, the n-th operation of the process fails:
``ENOSPC@12`` and ``EIO@12`` raise that OS error instead of operation 12, ``CRASH@12`` ends the process just after it. A
name in place of the number, as in ``EIO@ledger done``, means the first of that name. ``COUNT`` fails nothing. What was
hit, or with ``COUNT`` every operation, becomes a line in the file named by ``COMMONART_FAULT_LOG``.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PLAN = os.environ.get("COMMONART_FAULT", "")
_numbers = itertools.count(1)
_named = itertools.count()


@contextmanager
def fault_point(name: str) -> Iterator[None]:
    """Wrap one operation; the name appears in the logs of the stress tests."""
    if not _PLAN:
        yield
        return
    number = next(_numbers)
    kind, _, at = _PLAN.partition("@")
    hit = at == str(number) or (at == name and next(_named) == 0)
    if hit and kind in ("ENOSPC", "EIO"):
        _log(f"{kind} instead of {number} {name}")
        raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)), name)
    yield
    if kind == "COUNT":
        _log(f"{number} {name}")
    if hit and kind == "CRASH":
        _log(f"CRASH after {number} {name}")
        os._exit(137)


def _log(text: str) -> None:
    if os.environ.get("COMMONART_FAULT_LOG"):
        with Path(os.environ["COMMONART_FAULT_LOG"]).open("a", encoding="utf-8") as f:
            f.write(text + "\n")
