"""Prompt templates: what they expand to, where chance comes from, and what they refuse."""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract.errors import BadFile, BadTemplate, Phrase
from engine.contract.template import Expansion, count_combinations, escape, expand, is_plain

SYNTAX = st.text(st.sampled_from(list("ab {}|[]_\\:/.31猫\n")), max_size=40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cards = tmp_path / "cards"
    (cards / "animals").mkdir(parents=True)
    (cards / "x.txt").write_text("\ufeffone\n\n# not this\n  two \r\nthree", encoding="utf-8")
    (cards / "animals" / "cats.txt").write_text("{black|white} cat\n", encoding="utf-8")
    (cards / "pet_list.txt").write_text("my __animals/cats__\n", encoding="utf-8")
    (cards / "both.txt").write_text("[[p|q]]\n", encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret\n", encoding="utf-8")
    return cards


def texts(template: str, count: int = 1, seed: int = 0, folder: Path | None = None) -> list[str]:
    return [e.text for e in expand(template, count=count, seed=seed, wildcards=[folder] if folder else ())]


def why(template: str, folder: Path | None = None) -> str:
    with pytest.raises(BadTemplate) as caught:
        texts(template, folder=folder)
    assert isinstance(caught.value.fields["why"], Phrase)
    return str(caught.value.fields["why"])


def test_a_choice_is_made_anew_for_each_picture() -> None:
    found = Counter(texts("a {red|blue|} hat", 600))
    assert set(found) == {"a red hat", "a blue hat", "a  hat"}
    assert min(found.values()) > 140


def test_weights() -> None:
    found = Counter(texts("{3::a|b|0::never|0.5::c}", 4500))
    assert set(found) == {"a", "b", "c"}
    assert found["a"] / found["b"] == pytest.approx(3, rel=0.2)
    assert found["b"] / found["c"] == pytest.approx(2, rel=0.25)
    assert set(texts("{1::2::x}", 3)) == {"2::x"}


def test_draw_is_in_reading_order_and_outer_first() -> None:
    only = next(expand("{a {b}} [[c]] {d}", count=1, seed=0))
    assert only == Expansion("a b c d", ("a b", "b", "c", "d"), 0)


def test_combinations_are_the_outer_loop_and_the_last_varies_fastest() -> None:
    made = list(expand("[[a|b]] [[1|2|]]", count=2, seed=0))
    assert [e.text for e in made[::2]] == ["a 1", "a 2", "a ", "b 1", "b 2", "b "]
    assert [e.text for e in made[::2]] == [e.text for e in made[1::2]]
    assert [e.index for e in made] == list(range(12))
    assert made[2].draw == ("a", "2")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("[[a|[[b|c]]]]", ["a", "b", "c"]),
        ("[[a[[1|2]]|b]][[x|y]]", ["a1x", "a1y", "a2x", "a2y", "bx", "by"]),
        ("[[[[1|2]][[3|4]]|c]]", ["13", "14", "23", "24", "c"]),
        ("{[[a|b]]}[[c|d]]", ["ac", "ad", "bc", "bd"]),
        ("plain", ["plain"]),
    ],
)
def test_nested_combinations(template: str, expected: list[str]) -> None:
    assert texts(template) == expected
    assert count_combinations(template) == len(expected)


def test_a_combination_in_each_option_of_a_choice_is_its_own_group() -> None:
    template = "{[[a|b]]|[[x|y|z]]}"
    assert count_combinations(template) == 6
    seen = [set(texts(template, 1, seed)) for seed in range(100)]
    assert set().union(*seen) == set("abxyz")
    for (first, second), text in zip(itertools.product("ab", "xyz"), texts(template), strict=True):
        assert text in (first, second)


def test_many_combinations_are_counted_and_not_made() -> None:
    assert count_combinations("[[a|b]]" * 19 + "[[a]]") == 2**19
    assert next(expand("[[a|b]]" * 19, count=10**9, seed=1)).text == "a" * 19
    assert "1000000" in why("[[a|b]]" * 20)
    assert "1000000" in why("[[a|b]]" * 2800)  # a number of 843 digits


def test_escapes_and_literal_signs() -> None:
    assert texts(r"\{a\|b\} \[\[c\]\] \_\_d\_\_ \\ \n") == [r"{a|b} [[c]] __d__ \ \n"]
    assert texts(r"{a\|b\}}") == ["a|b}"]
    for text in ("a | b", "[a] (b:1.2)", "long_hair", "____", "__ __", "fill in __ here", "}", "]]", r"\o/"):
        assert is_plain(text), text
        assert texts(text) == [text]
    for text in ("{a}", "[[a]]", "__a__", r"\{", "{", "[["):
        assert not is_plain(text)


@pytest.mark.parametrize(
    ("template", "sign", "position"),
    [("ab {c|d", "{", 4), ("{a|{b}", "{", 1), ("[[a|b]", "[[", 1), ("{a|[[b}", "[[", 4)],
)
def test_unclosed_groups_are_told_with_their_place(template: str, sign: str, position: int) -> None:
    assert why(template) == f"the {sign} at letter {position} is never closed"


def test_bad_weights() -> None:
    assert "letter 2" in why("{-1::a|b}")
    assert "letter 1" in why("{0::a|0::b}")
    why("{" + "9" * 400 + "::a|b}")


def test_wildcards(folder: Path) -> None:
    assert set(texts("__x__", 60, folder=folder)) == {"one", "two", "three"}
    assert set(texts("a __pet_list__!", 40, folder=folder)) == {"a my black cat!", "a my white cat!"}
    made = next(expand("__pet_list__", count=1, seed=0, wildcards=[folder]))
    assert made.draw[0] == made.text and made.draw[1] == made.text[3:] and made.draw[2] in ("black", "white")
    assert set(texts("__both__", 40, folder=folder)) == {"p", "q"}
    assert count_combinations("__both__ [[a|b]]", [folder]) == 2


def test_the_first_folder_that_has_the_file_is_taken(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").write_text("own", encoding="utf-8")
    made = list(expand("__x__ __both__", count=3, seed=0, wildcards=[tmp_path / "mine", folder]))
    assert {e.text[:3] for e in made} == {"own"}


@pytest.mark.parametrize(
    "name", ["../secret", "animals/../../secret", "/etc/passwd", "..\\secret", "C:x", "a//b", "./x", "{tmp}/secret"]
)
def test_wildcards_never_leave_their_folder(folder: Path, tmp_path: Path, name: str) -> None:
    assert "stay within" in why(f"__{name.replace('{tmp}', str(tmp_path))}__", folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    assert "link" in why("__link__", folder)
    assert "link" in why("__up/secret__", folder)


def test_unknown_wildcards(folder: Path) -> None:
    said = why("__nowhere__", folder)
    assert "nowhere" in said and str(folder) in said
    assert "no wildcard folder" in why("__x__")
    why("__" + "n" * 5000 + "__", folder)
    with pytest.raises(BadTemplate):
        count_combinations("__nowhere__", [folder])


def test_circles_and_depth(folder: Path) -> None:
    for name, line in (("a", "__b__\nend"), ("b", "{__a__|x}")):
        (folder / f"{name}.txt").write_text(line, encoding="utf-8")
    assert "a > b > a" in why("__a__", folder)
    for n in range(9):
        (folder / f"d{n}.txt").write_text(f"__d{n + 1}__" if n < 8 else "end", encoding="utf-8")
    assert texts("__d1__", folder=folder) == ["end"]
    assert "d0 > d1" in why("__d0__", folder)
    assert "more than 8" in why("__d1__ __d0__", folder)  # where d1 is already known


def test_a_mistake_in_a_wildcard_line_is_told_at_once_with_its_place(folder: Path) -> None:
    (folder / "bad.txt").write_text("fine\n" * 50 + "{oops\n", encoding="utf-8")
    with pytest.raises(BadTemplate, match=r"bad\.txt:51: \{oops"):
        expand("__bad__", count=1, seed=0, wildcards=[folder])


def test_bad_wildcard_files(folder: Path) -> None:
    (folder / "sjis.txt").write_bytes("x\n猫".encode("cp932"))
    (folder / "none.txt").write_text("# nothing\n\n", encoding="utf-8")
    (folder / "big.txt").write_bytes(b"a\n" * 2_500_001)
    for name, part in (("sjis", "line 2"), ("none", "no line"), ("big", "5 MB")):
        with pytest.raises(BadFile, match=part) as caught:
            expand(f"__{name}__", count=1, seed=0, wildcards=[folder])
        assert isinstance(caught.value.fields["why"], Phrase)


def test_lines_of_wildcards_have_weights(folder: Path) -> None:
    (folder / "w.txt").write_text("3::red\nblue\n0::never\n 0.5:: {c|d} \n1::2::x\n", encoding="utf-8")
    found = Counter(texts("__w__", 5500, folder=folder))
    assert set(found) == {"red", "blue", "c", "d", "2::x"}
    assert found["red"] / found["blue"] == pytest.approx(3, rel=0.2)
    assert found["blue"] / (found["c"] + found["d"]) == pytest.approx(2, rel=0.25)
    (folder / "same.txt").write_text("2::one\n2::two\n2.0::three\n", encoding="utf-8")
    assert texts("__same__", 50, folder=folder) == texts("__x__", 50, folder=folder)  # as if there were no weights
    for bad in ("-1::a\nb\n", "0::a\n", "9" * 400 + "::a\n"):
        (folder / "bad.txt").write_text(bad, encoding="utf-8")
        with pytest.raises(BadFile, match="weight"):
            texts("__bad__", folder=folder)


@pytest.mark.parametrize("template", ["{2$$a|b}", "{a|1-2$$b}", "{-3$$ and $$a|b}", "__several__", "${v=a} b", "${v}"])
def test_syntax_that_only_others_have_is_refused(folder: Path, template: str) -> None:
    (folder / "several.txt").write_text("fine\n2$$a|b\n", encoding="utf-8")
    assert "not supported" in why(template, folder)
    assert set(texts("{$$|cheap} ${5|10}", 40)) == {"$$ $5", "$$ $10", "cheap $5", "cheap $10"}


@pytest.mark.parametrize(
    "data",
    [
        "# coding: cp932\nりんご\n".encode("cp932"),
        "# coding: utf-8\nりんご\n".encode(),
        "\ufeffりんご\n".encode("utf-8"),
        "りんご\n".encode("utf-16"),
        b"\xfe\xff" + "りんご\n".encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("encoding", [None, "utf-8", "cp932"])
def test_wildcard_files_name_their_encoding(folder: Path, data: bytes, encoding: str | None) -> None:
    (folder / "e.txt").write_bytes(data)
    assert [e.text for e in expand("__e__", count=1, seed=0, wildcards=[folder], encoding=encoding)] == ["りんご"]


def test_a_wildcard_file_that_is_not_utf8_needs_its_encoding(folder: Path) -> None:
    (folder / "e.txt").write_bytes("犬\nりんご\n".encode("cp932"))
    with pytest.raises(BadFile, match="--encoding cp932"):
        texts("__e__", folder=folder)
    assert {e.text for e in expand("__e__", count=9, seed=0, wildcards=[folder], encoding="sjis")} == {"犬", "りんご"}
    for bad in (b"# coding: ebcdic\na", b"# coding: cp932\na\n\x81", b"\xff\xfea", b"\xef\xbb\xbf\xff"):
        (folder / "e.txt").write_bytes(bad)
        with pytest.raises(BadFile):
            texts("__e__", folder=folder)


def test_comments_of_wildcard_files(folder: Path) -> None:
    (folder / "c.txt").write_text("# a list\n#\n#ff0000\n\\#00ff00\n", encoding="utf-8")
    notes: list[Phrase] = []
    assert [e.text for e in expand("__c__", count=1, seed=0, wildcards=[folder], note=notes.append)] == ["#00ff00"]
    assert [note.fields["n"] for note in notes] == [1]  # "# a list" is plainly a comment
    (folder / "c.txt").write_text("#ff0000\n#00ff00\n", encoding="utf-8")
    with pytest.raises(BadFile, match="all its 2 lines are comments"):
        texts("__c__", folder=folder)


def test_limits(folder: Path) -> None:
    assert texts("x" * 20_000) == ["x" * 20_000]
    assert "20000" in why("x" * 20_001)
    assert "nest" in why("{" * 15_000)
    texts("{" + "1" * 19_990 + "}")  # must not take a time that grows with the square
    (folder / "g0.txt").write_text("abcdefgh", encoding="utf-8")
    (folder / "e0.txt").write_text("{}", encoding="utf-8")
    for letter, n in itertools.product("ge", range(1, 7)):
        (folder / f"{letter}{n}.txt").write_text(f"__{letter}{n - 1}__" * 100, encoding="utf-8")
    assert "longer than 20000" in why("__g6__", folder)
    assert "choices" in why("__e6__", folder)


def test_what_chance_gives_is_fixed_for_good() -> None:
    """The same seed must give the same prompts in a later version, or recipes of old queues change their meaning."""
    assert "".join(texts("{a|b|c|d|e|f}", 12, seed=7)) == "cfeafcbedfed"
    assert "".join(texts("{2::a|b|c|d|e|f}", 12, seed=7)) == "ceeafcaecfec"


@given(st.integers(0, 2**63), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_draw_does_not_depend_on_how_many_are_made(seed: int, count: int) -> None:
    long = list(expand("{a|b|c} {5::d|e{f|g}}", count=40, seed=seed))
    assert list(expand("{a|b|c} {5::d|e{f|g}}", count=count, seed=seed)) == long[:count]


@given(st.integers(0, 10**9))
@settings(max_examples=20, deadline=None)
def test_the_global_source_of_chance_is_neither_used_nor_moved(seed: int) -> None:
    random.seed(1)
    texts("{a|b}", 5, seed)
    after = random.random()
    random.seed(1)
    assert after == random.random()


@given(SYNTAX | st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_text_expands_or_is_a_bad_template(text: str) -> None:
    try:
        made = list(itertools.islice(expand(text, count=2, seed=3), 50))
    except BadTemplate:
        assert not is_plain(text)
        return
    assert len(made) == min(50, 2 * count_combinations(text))
    if is_plain(text):
        assert made == [Expansion(text, (), 0), Expansion(text, (), 1)]


@given(SYNTAX | st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_escape_round_trip(text: str) -> None:
    assert texts(escape(text)) == [text]
    assert texts("{1::" + escape(text) + "}") == [text]


TREES = st.recursive(
    st.sampled_from(["a", "b", ""]),
    lambda inner: st.lists(st.lists(inner, max_size=2).map(tuple), min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.lists(TREES, max_size=3))
@settings(max_examples=100, deadline=None)
def test_combinations_are_those_of_a_plain_enumeration(tree: list[object]) -> None:
    def written(node: object) -> str:
        return node if isinstance(node, str) else "[[" + "|".join("".join(map(written, o)) for o in node) + "]]"

    def every(node: object) -> list[str]:
        return [node] if isinstance(node, str) else [text for option in node for text in joined(option)]

    def joined(nodes: object) -> list[str]:
        return ["".join(parts) for parts in itertools.product(*map(every, nodes))]

    assert texts("".join(map(written, tree))) == joined(tree)
