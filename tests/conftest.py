"""Every test has its own COMMONART_HOME, one thread, and no network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"  # tests run beside each other's processes: more threads only fight
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["QT_QPA_PLATFORM"] = "offscreen"
os.environ["PYTHONUTF8"] = "1"
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"  # a developer's own keyring is not for tests


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """User data of this test only."""
    home = tmp_path / "home"
    monkeypatch.setenv("COMMONART_HOME", str(home))
    yield home


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CommonArt-like pipeline folder with random weights, 32 px."""
    from tests.support.tiny_models import make_pipeline

    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")
