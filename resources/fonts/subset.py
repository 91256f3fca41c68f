"""Make ``CommonArtSansJP.otf`` again: Noto Sans CJK JP, cut down to what Japanese text needs. ``make font`` runs it.

The characters are those of JIS X 0208 (levels 1 and 2 of kanji, kana, Greek, Cyrillic), the extensions of NEC and IBM in
Windows' Japanese code page, the jōyō kanji that JIS X 0208 lacks, and Latin with its usual marks, as far as the font has
them. The same font file gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

NAME = "CommonArt Sans JP"
FILE = Path(__file__).with_name("CommonArtSansJP.otf")
_MORE = "塡剝頰𠮟♡♥"
_LATIN = (range(0x20, 0x7F), range(0xA0, 0x180), range(0x2010, 0x2040), (0x20AC, 0x2122, 0xFFFD))


def characters() -> set[int]:
    """Code points to keep."""
    wanted = {ord(letter) for letter in _MORE}.union(*_LATIN)
    for lead in (*range(0x81, 0xA0), *range(0xE0, 0xFD)):
        for trail in range(0x40, 0xFD):
            wanted.update(map(ord, bytes((lead, trail)).decode("cp932", "ignore")))
    for row in range(0xA1, 0xFF):  # some signs have another code point here than in Windows' table, such as 〜 and −
        for cell in range(0xA1, 0xFF):
            wanted.update(map(ord, bytes((row, cell)).decode("euc_jp", "ignore")))
    wanted.update(ord(bytes((byte,)).decode("cp932")) for byte in range(0xA1, 0xE0))  # half-width kana
    return {code for code in wanted if not 0xE000 <= code < 0xF900}  # no private use


def make(source: Path, out: Path = FILE) -> None:
    """Write the subset of the font ``source`` (OpenType with CFF outlines) as ``out``."""
    options = subset.Options()
    options.layout_features = []  # the programs that draw with it set plain horizontal lines
    options.hinting = False
    options.desubroutinize = False
    options.name_IDs = ["*"]
    options.name_languages = [0x409]
    options.notdef_outline = True
    options.drop_tables += ["BASE", "DSIG", "GDEF", "GPOS", "GSUB", "VORG", "vhea", "vmtx"]
    font = TTFont(source, recalcTimestamp=False)
    cut = subset.Subsetter(options)
    cut.populate(unicodes=characters())
    cut.subset(font)
    # a modified version under a name of its own, which is no name of the original's
    for number, text in ((1, NAME), (4, NAME), (6, NAME.replace(" ", "") + "-Regular"), (3, f"{NAME} subset")):
        font["name"].setName(text, number, 3, 1, 0x409)
    top = font["CFF "].cff
    top.fontNames[0] = NAME.replace(" ", "") + "-Regular"
    top[0].FullName = top[0].FamilyName = NAME
    font.save(out)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
