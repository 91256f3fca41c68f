"""Without platformdirs the data folder is where platformdirs would have it."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from engine.contract.place import data_folder


@pytest.mark.parametrize("xdg", [None, "/srv/data"])
def test_as_platformdirs(xdg: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if xdg is None:
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_DATA_HOME", str(Path(xdg)))
    assert data_folder("CommonArt Desktop") == platformdirs.user_data_path("CommonArt Desktop", appauthor=False)
