"""One data folder for all processes."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from engine.contract.errors import DataFolder, DiskFull
from engine.contract.paths import home, resources, writing_home
from engine.contract.python_process import python_environment


def test_the_data_folder_is_that_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMMONART_HOME", raising=False)
    assert home() == platformdirs.user_data_path("CommonArt Desktop", appauthor=False)


def test_another_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for given, folder in (("~/mine", "mine"), ("data", "data"), ("~nobody-of-this-name/x", "~nobody-of-this-name/x")):
        monkeypatch.setenv("COMMONART_HOME", given)
        assert home() == tmp_path / folder
        assert python_environment()["COMMONART_HOME"] == str(home())  # wherever the child is started
        assert python_environment(COMMONART_HOME=None).get("COMMONART_HOME") is None


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMONART_HOME", str(tmp_path))
    for number, kind in ((13, DataFolder), (28, DiskFull)):
        with pytest.raises(kind, match=str(tmp_path)), writing_home():
            raise OSError(number, "no")


def test_the_program_has_its_resources() -> None:
    assert (resources() / "models").is_dir()
