"""Rules of the source tree that import contracts cannot express."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp
import pytest

from tests.support.paths import ROOT

PACKAGES = ("commonart_desktop", "engine", "trainer")
MOST_MODULES = 25


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, include_external_packages=True, cache_dir=None)


def folders() -> list[Path]:
    return [f for p in PACKAGES for f in (ROOT / p, *(ROOT / p).rglob("*")) if f.is_dir() and any(f.glob("*.py"))]


def test_folders_can_be_seen_at_a_glance() -> None:
    counts = {str(f.relative_to(ROOT)): sum(1 for m in f.glob("*.py") if m.name != "__init__.py") for f in folders()}
    assert {name: n for name, n in counts.items() if n > MOST_MODULES} == {}


def test_every_folder_is_a_package() -> None:
    assert [
        str(f.relative_to(ROOT)) for f in folders() if not (f / "__init__.py").is_file() and f.name != "light"
    ] == []


@pytest.mark.parametrize(("package", "more"), [("engine.contract", {"platformdirs"}), ("trainer.config", set())])
def test_plain_data_needs_the_standard_library_only(graph: grimp.ImportGraph, package: str, more: set[str]) -> None:
    """``platformdirs`` alone says where the data folder is."""
    modules = [m for m in graph.modules if m == package or m.startswith(package + ".")]
    assert modules
    imported = {d for m in modules for d in graph.find_modules_directly_imported_by(m) if not d.startswith(package)}
    assert {d for d in imported if d.partition(".")[0] not in sys.stdlib_module_names} <= more


def test_unit_tests_mirror_the_tree() -> None:
    unit = ROOT / "tests" / "unit"
    places = {f.parent.relative_to(unit) for f in unit.rglob("test_*.py")}
    assert [str(p) for p in sorted(places) if not (ROOT / p).is_dir()] == []
