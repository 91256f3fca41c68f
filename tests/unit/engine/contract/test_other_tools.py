"""The names of other programs: the documentation has those of the code."""

from __future__ import annotations

import re

from engine.contract.other_tools import ALIASES, FOREIGN, PLACES, SETTINGS, nearest_setting, setting_of
from tests.support.paths import ROOT

DOCUMENT = (ROOT / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_every_alias_is_documented() -> None:
    table = {
        setting: set(re.findall(r"`([^`]+)`", names))
        for setting, names in re.findall(r"^\| `(\w+)` \| (`.*) \|$", DOCUMENT, re.MULTILINE)
        if setting in SETTINGS
    }
    wanted: dict[str, set[str]] = {}
    for alias, setting in ALIASES.items():
        if setting not in PLACES:
            wanted.setdefault(setting, set()).add(alias)
    assert table == wanted
    assert all(f"`{name}`" in DOCUMENT for name in (*FOREIGN, *PLACES, *ALIASES))


def test_no_name_is_near_to_what_it_is() -> None:
    for name in (*SETTINGS, *PLACES, *ALIASES):
        assert setting_of(name) is not None
    for name in ("style", "artist", "job", "title", "id", "note", "mood", "lang", "x", ""):
        assert setting_of(name) is None and nearest_setting(name) is None
