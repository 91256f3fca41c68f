"""What a studio allows: a verdict for each class of licence and each rule of the gate, built in or from a TOML file."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.contract.errors import BadPolicy, Phrase
from trainer.dataset.files import text_of
from trainer.dataset.spdx import CLASSES, Choice, Expression, parse

VERDICTS = ("allow", "warn", "block")
# rule of the gate -> its verdict unless a policy overrides it; rules not listed here always block
RULES = {
    "attribution": "block",  # BY without creator, licence address or source
    "licence-url-differs": "block",  # the address stands for another licence than the expression
    "licence-in-file-differs": "block",  # the file itself names another licence
    "licence-decided": "warn",  # a person gave another licence than what is stated or not understood
    "training-forbidden": "block",  # a signal in the file, or the record's training_permission
    "training-constrained": "warn",
    "ai-made": "block",
    "near-duplicate-other-licence": "block",
    "near-duplicate": "warn",
    "same-picture": "warn",  # twice the same under the same licence
    "one-creator": "warn",
    "caption-empty": "warn",
    "caption-control": "block",
    "caption-long": "block",
    "unreadable-provenance": "warn",
}
LIMITS: dict[str, float] = {"creator_share": 0.5, "creator_pictures": 20, "caption_characters": 10_000}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Verdicts are ``allow``, ``warn`` or ``block``."""

    name: str
    classes: dict[str, str]
    rules: dict[str, str] = field(default_factory=lambda: dict(RULES))
    limits: dict[str, float] = field(default_factory=lambda: dict(LIMITS))
    licences: dict[str, str] = field(default_factory=dict)  # SPDX id -> verdict, before its classes

    def as_data(self) -> dict[str, Any]:
        """JSON-ready, in a fixed order."""
        return {
            "name": self.name,
            "classes": dict(sorted(self.classes.items())),
            "rules": dict(sorted(self.rules.items())),
            "limits": dict(sorted(self.limits.items())),
            "licences": dict(sorted(self.licences.items())),
        }

    @property
    def sha256(self) -> str:
        """Hash of all settings, including the name, which is part of the report."""
        return hashlib.sha256(
            json.dumps(self.as_data(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        ).hexdigest()

    def of_choice(self, choice: Choice) -> tuple[str, tuple[str, ...]]:
        """The worst verdict of licences that apply together, and the classes or licences that caused it."""
        verdicts: list[tuple[str, str]] = []
        for licence in choice.licences:
            verdict = self.licences.get(licence) or self.licences.get(licence.split(" WITH ")[0])
            if verdict is not None:
                verdicts.append((verdict, licence))
            else:
                one = parse(licence)
                verdicts += [(self.classes[c], c) for c in one.choices[0].classes]
        worst = max((v for v, _ in verdicts), key=VERDICTS.index)
        return worst, tuple(sorted({name for v, name in verdicts if v == worst}))

    def of_expression(self, expression: Expression) -> tuple[str, tuple[str, ...], Choice]:
        """Verdict, its causes, and the chosen alternative: of an OR the best counts, as the user may choose."""
        evaluated = [(*self.of_choice(c), c) for c in expression.choices]
        return min(evaluated, key=lambda j: (VERDICTS.index(j[0]), j[2].licences))


BUILT_IN = {
    "commercial": Policy(
        name="commercial",
        classes={
            "public-domain": "allow",
            "public-domain-us": "warn",
            "no-known-copyright": "warn",
            "by": "allow",
            "permissive": "allow",
            "sa": "warn",
            "nd": "block",
            "nc": "block",
            "own": "allow",
            "unknown": "block",
        },
    ),
    "noncommercial": Policy(
        name="noncommercial",
        classes={
            "public-domain": "allow",
            "public-domain-us": "warn",
            "no-known-copyright": "warn",
            "by": "allow",
            "permissive": "allow",
            "sa": "warn",
            "nd": "block",
            "nc": "allow",
            "own": "allow",
            "unknown": "block",
        },
    ),
}
assert all(p.classes.keys() == CLASSES.keys() for p in BUILT_IN.values())


def load_policy(name: str | Path) -> Policy:
    """``commercial``, ``noncommercial``, or a TOML file.

    Raises:
        BadPolicy, BadFile, NotUtf8
    """
    if str(name) in BUILT_IN:
        return BUILT_IN[str(name)]
    path = Path(name).expanduser()
    if not path.is_file():
        raise BadPolicy(path=name, why=Phrase("there is no such policy, and no such file"))
    try:
        data = tomllib.loads(text_of(path))
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        raise BadPolicy(path=path, why=Phrase("it is not TOML ({detail})", detail=str(e))) from e
    return _from_data(path, data)


def _from_data(path: Path, data: dict[str, Any]) -> Policy:
    _known(path, data, ("name", "base", "classes", "rules", "limits", "licences"))
    base = data.get("base", "commercial")
    if not isinstance(base, str) or base not in BUILT_IN:
        raise BadPolicy(
            path=path, why=Phrase("base is {value!r}; it is one of {known}", value=base, known=", ".join(BUILT_IN))
        )
    name = data.get("name", path.stem)
    if not isinstance(name, str):
        raise BadPolicy(path=path, why=Phrase("{name} is not text", name="name"))
    for table in ("classes", "rules", "limits", "licences"):
        if not isinstance(data.get(table, {}), dict):
            raise BadPolicy(path=path, why=Phrase("{name} is not a table; write [{name}]", name=table))
    start = BUILT_IN[base]
    classes, rules, limits = data.get("classes", {}), data.get("rules", {}), data.get("limits", {})
    _known(path, classes, tuple(CLASSES))
    _known(path, rules, tuple(RULES))
    _known(path, limits, tuple(LIMITS))
    for table in (classes, rules, data.get("licences", {})):
        for key, verdict in table.items():
            if verdict not in VERDICTS:
                raise BadPolicy(
                    path=path,
                    why=Phrase(
                        "{key} is {value!r}; it is one of {known}", key=key, value=verdict, known=", ".join(VERDICTS)
                    ),
                )
    for key, value in limits.items():
        low, high = (0, 1) if key == "creator_share" else (1, 1e9)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise BadPolicy(
                path=path,
                why=Phrase(
                    "{key} is {value!r}; it is a number from {low} to {high}", key=key, value=value, low=low, high=high
                ),
            )
    licences = {}
    for key, verdict in data.get("licences", {}).items():
        try:
            expression = parse(key)
        except ValueError as e:
            raise BadPolicy(path=path, why=e.args[0]) from e
        if len(expression.choices) != 1 or len(expression.choices[0].licences) != 1:
            raise BadPolicy(path=path, why=Phrase("{key!r} is not one licence", key=key))
        licences[expression.choices[0].licences[0]] = verdict
    return replace(
        start,
        name=name,
        classes=start.classes | classes,
        rules=start.rules | rules,
        limits=start.limits | limits,
        licences=licences,
    )


def _known(path: Path, table: dict[str, Any], names: tuple[str, ...]) -> None:
    for key in table:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            if near:
                raise BadPolicy(
                    path=path,
                    why=Phrase("it has {key!r}, which means nothing; did you mean {near!r}?", key=key, near=near[0]),
                )
            raise BadPolicy(
                path=path,
                why=Phrase("it has {key!r}, which means nothing; known are {known}", key=key, known=", ".join(names)),
            )
