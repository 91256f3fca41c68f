"""``settings.toml`` as people write it: what is wrong is a place and a sentence, what is unknown stays."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commonart_desktop.core import i18n
from commonart_desktop.core.i18n import sentence
from commonart_desktop.core.settings import (
    Provenance,
    Settings,
    load_settings,
    read_settings,
    settings_path,
)
from commonart_desktop.core.settings_save import save_settings
from engine.contract.errors import BackslashInSettings, BadFile, BadSettings
from engine.contract.paths import home


@pytest.fixture
def file(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("COMMONART_LANG", raising=False)
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    i18n.language.cache_clear()
    own_home.mkdir()
    return settings_path()


WRONG: list[tuple[str, int, int, str, str]] = [
    ('out = "D:\\Pictures\\new"\n', 1, 0, "backslash", "out = 'D:\\Pictures\\new'"),
    ('theme = "dark"\nout = "C:\\Users\\me"\n', 2, 0, "backslash", "out = 'C:\\Users\\me'"),
    ('out = "D:\\new"\n', 1, 1, "backslash", "out = 'D:\\new'"),
    ('out = "D:\\it\'s\\x"\n', 1, 0, "backslash", 'out = "D:/it\'s/x"'),
    ("one two\n", 1, 0, "it is not TOML", ""),
    ('theme = "dark"\nname = "x', 2, 0, "it is not TOML", ""),
    ('theme = "dark"\nmemory = 8\n', 2, 1, "memory must be text in quotes", ""),
    ('\n[provenance]\n  sign = "no"\n', 3, 3, "provenance.sign must be true or false", ""),
    ('[provenance]\nprompt = "loud"\n', 2, 1, "provenance.prompt must be one of", ""),
    ('[provenance]\nkey = "k.pem"\n', 2, 1, "belong together", ""),
    ("provenance = 3\n", 1, 1, "must be a table", ""),
]


@pytest.mark.parametrize(("text", "line", "column", "words", "example"), WRONG, ids=[w[0][:30] for w in WRONG])
def test_what_is_wrong_is_told_with_its_place(
    file: Path, text: str, line: int, column: int, words: str, example: str
) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings) as caught:
        load_settings()
    told, hint = sentence(caught.value)
    place = re.escape(f"{file}, line {line}, column ") + (
        str(column) if column else r"\d+"
    )  # Python's word for it differs
    assert re.match(place + ": ", told) and words in told
    assert isinstance(caught.value, BackslashInSettings) == bool(example) and hint.endswith(example or "editor.")
    if example:  # what is suggested can be read
        file.write_text(example, encoding="utf-8")
        assert load_settings().out.startswith(("D:", "C:"))


def test_the_rest_is_understood_and_the_language_with_it(file: Path) -> None:
    file.write_text('language = "ja"\nout = "D:\\Pictures"\n[provenance]\nsign = false\n', encoding="utf-8")
    read = read_settings()
    assert read.settings == Settings(language="ja", provenance=Provenance(sign=False)) and len(read.errors) == 1
    assert i18n.language() == "ja"
    file.write_bytes('# 設定\nlanguage = "ja"\nout = "絵"\n'.encode("cp932"))
    i18n.language.cache_clear()
    assert i18n.language() == "ja" and "UTF-8" in str(read_settings().errors[0])


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"[" * 5000, b"x = " + b"[" * 5000, b"a = 1\n" * 300_000, b"\x00"])
def test_language_never_raises(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert i18n.language() == "en"
    with pytest.raises(BadFile):
        load_settings()
    file.unlink()
    file.mkdir()
    i18n.language.cache_clear()
    assert i18n.language() == "en" and isinstance(read_settings().errors[0], BadFile)


def test_unknown_entries_are_told_and_kept(file: Path) -> None:
    text = (
        '# mine\nmodle = "x"  # soon\ntheme = "dark"\nlater = [1, 2.5]\n\n[provenance]\ncolour = true\n\n[new]\nx = 1\n'
    )
    file.write_text(text, encoding="utf-8")
    read = read_settings()
    assert read.unknown == ("modle", "later", "provenance.colour", "new") and not read.errors
    remark = read.remark()
    assert remark is not None and "modle (model?)" in i18n.say(remark)
    assert save_settings(replace(load_settings(), device="cpu", theme="system")) is None
    saved = file.read_text(encoding="utf-8")
    assert saved == text.replace('theme = "dark"\n', "").replace("[1, 2.5]\n", '[1, 2.5]\ndevice = "cpu"\n')
    assert load_settings() == Settings(device="cpu") and read_settings().unknown == read.unknown


@pytest.mark.parametrize("text", ["", "provenance.sign = false\n", 'provenance = {sign = false, extra = 1}\nx = "y"\n'])
def test_what_is_saved_is_read_back(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    odd = 'D:\\a "b" \''
    for wanted in (
        Settings(out=odd, language="ja", provenance=Provenance(sign=False, creator="山田", rights="'\"\\")),
        Settings(provenance=Provenance(studio="x")),
        Settings(),
    ):
        save_settings(wanted)
        assert load_settings() == wanted
    assert ("extra" in file.read_text(encoding="utf-8")) == ("extra" in text)


@pytest.mark.parametrize("text", ['out = "D:\\x"\n', "memory = 8\nlater = 1\n"])
def test_nothing_unreadable_is_written_over_without_a_copy(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    kept = save_settings(Settings(theme="dark"))
    assert kept is not None and kept.read_text(encoding="utf-8") == text
    assert load_settings() == Settings(theme="dark") and ("later" in file.read_text(encoding="utf-8")) == (
        "later" in text
    )
    file.write_text(text, encoding="utf-8")
    again = save_settings(Settings(theme="dark"))  # in the same second
    assert again is not None and again != kept and len(list(home().glob("settings.unreadable-*.toml"))) == 2


def test_without_a_copy_nothing_is_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("memory = 8\n", encoding="utf-8")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(BadFile):
        save_settings(Settings())
    monkeypatch.undo()
    assert file.read_text(encoding="utf-8") == "memory = 8\n"
