"""In the window there is one way to leave the GUI thread and one way to read an image file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import commonart_desktop.gui

ROOT = Path(commonart_desktop.gui.__file__).parent
THREADS = {
    "Thread",
    "Timer",
    "QThread",
    "QThreadPool",
    "QRunnable",
    "ThreadPoolExecutor",
    "ProcessPoolExecutor",
    "QtConcurrent",
    "start_new_thread",
    "QProcess",
    "Popen",
}
READERS = {"QImageReader", "QMovie", "QPicture", "fromData", "loadFromData"}
ALLOWED = {  # what may use which of them
    "background/tasks.py": {"Thread", "Popen"},
    "background/process_stopper.py": {"Timer", "Popen"},
    "images/reader.py": {"QImageReader"},
}


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that is imported or used outside annotations of text, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias):
            yield node.name, node.lineno


def files_by_path(tree: ast.AST) -> Iterator[int]:
    """Lines in which QImage or QPixmap is constructed from a text, that is, from a file's path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("QImage", "QPixmap"):
            first = node.args[0] if node.args else None
            if isinstance(first, (ast.JoinedStr, ast.Constant)) or (
                isinstance(first, ast.Call) and isinstance(first.func, ast.Name) and first.func.id == "str"
            ):
                yield node.lineno


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_other_way(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = ALLOWED.get(relative, set())
    used = {(name, line) for name, line in names(tree) if name in (THREADS | READERS) - allowed}
    assert not used, f"{relative}: use background.tasks and images.reader instead of {sorted(used)}"
    assert not list(files_by_path(tree)), f"{relative}: read image files with images.reader"


def test_the_check_sees_them() -> None:
    """The check is worth nothing if it finds nothing."""
    source = "import threading\nthreading.Thread(target=f)\nfrom PySide6.QtCore import QThreadPool\nQImage(str(path))\n"
    tree = ast.parse(source)
    assert {"Thread", "QThreadPool"} <= {name for name, _ in names(tree)} and list(files_by_path(tree)) == [4]
