"""Prompt templates: one text that stands for many prompts.

======================  ======================================================================================
``{a|b|c}``             one of them by chance, for each image anew; ``{3::a|b}`` takes a three times as often
``__animals/cats__``    a line by chance of the wildcard file ``animals/cats.txt``; the line may be a template too,
                        and may begin with a weight (``wildcards``)
``[[a|b]]``             each of them: the images are made for every combination of all such groups
``\\{``                  the sign itself; likewise ``\\} \\| \\[ \\] \\_ \\\\``
======================  ======================================================================================

Groups nest and options may be empty. ``[[ ]]`` within ``{ }`` counts as a group of its own, whichever option chance
takes; in a wildcard line, which is itself taken by chance, it is read as ``{ }``. Anything else is text: a single
``[`` or ``_``, a ``__`` without its partner, ``|``, ``}`` and ``]]`` outside of a group.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from engine.contract.errors import Phrase
from engine.contract.promptfile import Note
from engine.contract.wildcards import SEVERAL, WEIGHT, WildcardFiles, bad_template

MAX_LETTERS = 20_000  # of a template, and of what comes out of it
MAX_COMBINATIONS = 1_000_000
MAX_WILDCARD_DEPTH = 8
MAX_NESTING = 30  # groups within groups in one text; with the depth above it bounds the recursion of _render
MAX_DRAWS = 20_000  # choices in one image: wildcards that repeat each other grow exponentially

_SYNTAX = re.compile(
    r"\\(?P<escaped>[{}|\[\]_\\])"
    r"|__(?P<name>(?![_\s])(?:(?!__)[^{}|\[\]\r\n])+)(?<!\s)__"
    r"|(?P<sign>\{|\}|\||\[\[|\]\])"
)
_NOT_PLAIN = re.compile(r"\\[{}|\[\]_\\]|__(?![_\s])(?:(?!__)[^{}|\[\]\r\n])+(?<!\s)__|\{|\[\[")
_VARIABLE = re.compile(r"\w+\s*(?:=|:|\})")
_CLOSE = {"{": "}", "[[": "]]"}


@dataclass(frozen=True, slots=True)
class Expansion:
    """One prompt made from a template: what chance and combination chose, in reading order (an outer choice before
    those within it, each as it reads in ``text``), and the image's place (0-based) among all."""

    text: str
    draw: tuple[str, ...]
    index: int


@dataclass(frozen=True, slots=True)
class _Sequence:
    nodes: tuple[str | _Choice | _Wildcard, ...]
    combinations: int


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple[_Sequence, ...]
    weights: tuple[float, ...]  # cumulative; empty where all weigh the same
    starts: tuple[int, ...]  # [[ ]] only: the first combination of each option
    combinations: int


@dataclass(frozen=True, slots=True)
class _Wildcard:
    lines: tuple[str | _Sequence, ...]
    weights: tuple[float, ...]  # cumulative; empty where all weigh the same
    depth: int  # 1 where no line names another wildcard
    combinations: int = 1


class _Parser:
    """Reads a template and the wildcard files it names into a tree, each file once."""

    def __init__(self, wildcards: WildcardFiles) -> None:
        self.wildcards = wildcards
        self.files: dict[str, _Wildcard] = {}
        self.by_chance = False  # whether anything in the tree is left to chance

    def template(self, text: str) -> _Sequence:
        if len(text) > MAX_LETTERS:
            raise bad_template(text, Phrase("it is longer than {n} letters", n=MAX_LETTERS))
        tree = self.parse(text, text, ())
        if tree.combinations > MAX_COMBINATIONS:
            raise bad_template(text, Phrase("it has more than {n} combinations", n=MAX_COMBINATIONS))
        return tree

    def parse(self, text: str, told: str, chain: tuple[str, ...]) -> _Sequence:
        """``told`` is how an error quotes the text; ``chain`` the wildcards that led here, outermost first."""
        nodes: list[str | _Choice | _Wildcard] = []
        options: list[_Sequence] = []
        weights: list[float] = []
        outer: list[tuple[str, int, list[str | _Choice | _Wildcard], list[_Sequence], list[float]]] = []

        def refuse_several(at: int) -> None:
            """Other programs' syntax that would otherwise be drawn as text."""
            if SEVERAL.match(text, at):
                raise bad_template(
                    told,
                    Phrase(
                        "at letter {position} {sign} asks for several options at once, which is not supported; "
                        "write the groups one after the other",
                        position=at + 1,
                        sign="$$",
                    ),
                )

        def weight(at: int) -> int:
            """Take the weight at the start of an option, if one stands there; returns where its text begins."""
            found = WEIGHT.match(text, at) if outer[-1][0] == "{" else None
            refuse_several(at)
            weights.append(float(found[1]) if found else 1.0)
            if weights[-1] < 0 or math.isinf(weights[-1]):
                raise bad_template(
                    told, Phrase("the weight at letter {position} must be a number from 0 up", position=at + 1)
                )
            return found.end() if found else at

        end = 0
        if chain:
            refuse_several(0)
        # A match never starts within a weight (digits and colons), so the positions of finditer stay right.
        for match in _SYNTAX.finditer(text):
            if match.start() > end:
                nodes.append(text[end : match.start()])
            end = match.end()
            sign = match["sign"]
            if match["escaped"]:
                nodes.append(match["escaped"])
            elif match["name"]:
                nodes.append(self.wildcard(match["name"], told, chain))
            elif sign in _CLOSE:
                if len(outer) == MAX_NESTING:
                    raise bad_template(
                        told,
                        Phrase(
                            "at letter {position} groups nest more than {n} deep",
                            position=match.start() + 1,
                            n=MAX_NESTING,
                        ),
                    )
                if sign == "{" and text[: match.start()].endswith("$") and _VARIABLE.match(text, match.end()):
                    raise bad_template(
                        told,
                        Phrase(
                            "at letter {position} stands a variable, which is not supported", position=match.start()
                        ),
                    )
                outer.append((sign, match.start(), nodes, options, weights))
                nodes, options, weights = [], [], []
                end = weight(end)
            elif outer and sign == "|":
                options.append(_sequence(nodes))
                nodes = []
                end = weight(end)
            elif outer and sign == _CLOSE[outer[-1][0]]:
                options.append(_sequence(nodes))
                every = outer[-1][0] == "[[" and not chain
                if not 0 < sum(weights) < math.inf:
                    raise bad_template(
                        told,
                        Phrase(
                            "the weights of the group at letter {position} must have a finite sum above 0",
                            position=outer[-1][1] + 1,
                        ),
                    )
                self.by_chance |= not every
                group = _choice(options, weights, every)
                _, _, nodes, options, weights = outer.pop()
                nodes.append(group)
            else:
                nodes.append(sign)
        if outer:
            raise bad_template(
                told,
                Phrase("the {sign} at letter {position} is never closed", sign=outer[-1][0], position=outer[-1][1] + 1),
            )
        nodes.append(text[end:])
        return _sequence(nodes)

    def wildcard(self, name: str, told: str, chain: tuple[str, ...]) -> _Wildcard:
        """Read every line at once, so that a mistake is told before the first image rather than by chance later."""
        self.by_chance = True
        if name in chain:
            raise bad_template(
                told,
                Phrase(
                    "the wildcards name each other in a circle: {chain}",
                    chain=" > ".join((*chain[chain.index(name) :], name)),
                ),
            )
        found = self.files.get(name)
        depth = len(chain) + (found.depth if found else 1)
        if depth > MAX_WILDCARD_DEPTH:
            raise bad_template(
                told,
                Phrase(
                    "wildcards name each other more than {n} deep: {chain}",
                    n=MAX_WILDCARD_DEPTH,
                    chain=" > ".join((*chain, name)),
                ),
            )
        if found:
            return found
        lines: list[str | _Sequence] = []
        weights: list[float] = []
        below = 0
        for line in self.wildcards.lines(name, told):
            if _NOT_PLAIN.search(line.text) or SEVERAL.match(line.text):
                tree = self.parse(line.text, f"{name}.txt:{line.number}: {line.text}", (*chain, name))
                below = max(below, _depth(tree))
                lines.append(tree)
            else:
                lines.append(line.text)
            weights.append(line.weight)
        self.files[name] = _Wildcard(tuple(lines), _cumulative(weights), 1 + below)
        return self.files[name]


def _sequence(nodes: list[str | _Choice | _Wildcard]) -> _Sequence:
    kept = tuple(node for node in nodes if node != "")
    return _Sequence(kept, math.prod(node.combinations for node in kept if not isinstance(node, str)))


def _choice(options: list[_Sequence], weights: list[float], every: bool) -> _Choice:
    counts = [option.combinations for option in options]
    if every:
        return _Choice(tuple(options), (), tuple(accumulate(counts[:-1], initial=0)), sum(counts))
    return _Choice(tuple(options), _cumulative(weights), (), math.prod(counts))


def _cumulative(weights: list[float]) -> tuple[float, ...]:
    same = all(weight == weights[0] for weight in weights)
    return () if same else tuple(accumulate(weights))


def _depth(tree: _Sequence) -> int:
    """How deep wildcards nest under a tree."""
    return max(
        (
            node.depth if isinstance(node, _Wildcard) else max(map(_depth, node.options))
            for node in tree.nodes
            if not isinstance(node, str)
        ),
        default=0,
    )


class _Picture:
    """The making of one text: the source of chance, what was drawn and how many letters there are so far."""

    __slots__ = ("chance", "draw", "letters", "template")

    def __init__(self, template: str, chance: random.Random) -> None:
        self.template, self.chance = template, chance
        self.draw: list[str] = []
        self.letters = 0

    def render(self, tree: _Sequence, combination: int) -> str:
        parts: list[str] = []
        rest = tree.combinations
        for node in tree.nodes:
            if isinstance(node, str):
                parts.append(self.written(node))
                continue
            rest //= node.combinations  # the digits of a number in mixed radix, the last one varies fastest
            mine, combination = divmod(combination, rest)
            place = len(self.draw)
            if place == MAX_DRAWS:
                raise bad_template(self.template, Phrase("one image takes more than {n} choices", n=MAX_DRAWS))
            self.draw.append("")
            # Only random() is promised to give the same numbers in every version of Python.
            if isinstance(node, _Wildcard):
                line = node.lines[self.pick(len(node.lines), node.weights)]
                text = self.written(line) if isinstance(line, str) else self.render(line, 0)
            elif node.starts:
                option = bisect_right(node.starts, mine) - 1
                text = self.render(node.options[option], mine - node.starts[option])
            else:
                option = self.pick(len(node.options), node.weights)
                for later in node.options[:option:-1]:  # their digits stand behind
                    mine //= later.combinations
                text = self.render(node.options[option], mine % node.options[option].combinations)
            self.draw[place] = text
            parts.append(text)
        return "".join(parts)

    def pick(self, count: int, weights: tuple[float, ...]) -> int:
        """One of ``count`` by chance, by cumulative ``weights`` where there are any."""
        if not weights:
            return int(self.chance.random() * count)
        return min(bisect_right(weights, self.chance.random() * weights[-1]), count - 1)

    def written(self, text: str) -> str:
        self.letters += len(text)
        if self.letters > MAX_LETTERS:
            raise bad_template(self.template, Phrase("a prompt made from it is longer than {n} letters", n=MAX_LETTERS))
        return text


def expand(
    template: str,
    *,
    count: int,
    seed: int,
    wildcards: Sequence[Path] = (),
    encoding: str | None = None,
    note: Note | None = None,
) -> Iterator[Expansion]:
    """Every combination, ``count`` times each, one after another: the combinations are the outer loop.

    ``wildcards`` are folders, the first that has the file is taken; ``encoding`` is that of files that are not UTF-8
    and do not name another; ``note`` hears of lines that may be taken for comments by mistake. What chance gives an
    image follows from ``seed`` and the image's index alone. The template and its files are read at the call, the
    prompts made as they are taken.

    Raises:
        BadTemplate, at the call: a mistake in the template or a wildcard line, an unknown wildcard, or a limit passed;
            while iterating: a prompt grew too long.
        BadFile, at the call: a wildcard file is too large, empty, in another encoding or not readable.
    """
    parser = _Parser(WildcardFiles(wildcards, encoding, note))
    tree = parser.template(template)
    return _pictures(template, tree, parser.by_chance, count, seed)


def _pictures(template: str, tree: _Sequence, by_chance: bool, count: int, seed: int) -> Iterator[Expansion]:
    chance = random.Random(0)
    for index in range(tree.combinations * count):
        if by_chance:
            chance.seed(int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest(), "big"))
        picture = _Picture(template, chance)
        text = picture.render(tree, index // count)
        yield Expansion(text, tuple(picture.draw), index)


def count_combinations(template: str, wildcards: Sequence[Path] = ()) -> int:
    """How many combinations the ``[[ ]]`` groups have (1 without any), counted without making them.

    Raises:
        BadTemplate, BadFile: as for ``expand``.
    """
    return _Parser(WildcardFiles(wildcards)).template(template).combinations


def is_plain(text: str) -> bool:
    """Whether the text holds no template syntax, so that it stands for itself."""
    return _NOT_PLAIN.search(text) is None


def escape(text: str) -> str:
    """The template that gives exactly this text."""
    return re.sub(r"[{}|\[\]\\]|_(?=_)|(?<=_)_", r"\\\g<0>", text)
