"""The error tree: its drawing, its exports, and its way across a process boundary."""

from __future__ import annotations

import pickle

import pytest

from engine.contract import errors
from engine.contract.errors import CommonArtError, Phrase, from_wire, tree


def drawn(cls: type[CommonArtError], depth: int = 1) -> list[str]:
    """Children without children first, then the others, each by name."""
    children = sorted(cls.__subclasses__(), key=lambda c: (bool(c.__subclasses__()), c.__name__))
    own = [c for c in children if c.__module__.startswith(("engine.", "trainer.", "commonart_desktop."))]
    return ["    " * depth + cls.__name__, *(line for c in own for line in drawn(c, depth + 1))]


def test_the_drawing_is_that_of_the_classes() -> None:
    assert errors.__doc__ is not None
    lines = [line for line in errors.__doc__.splitlines() if line.startswith("    ")]
    assert lines == drawn(CommonArtError)


def test_every_class_is_exported_and_has_a_kind_of_its_own() -> None:
    def classes(cls: type[CommonArtError]) -> list[type[CommonArtError]]:
        return [cls, *(one for child in cls.__subclasses__() for one in classes(child))]

    own = [c for c in classes(CommonArtError) if c.__module__.startswith(("engine.", "trainer.", "commonart_desktop."))]
    assert len({c.kind for c in own}) == len(own)
    for cls in own:
        assert getattr(errors, cls.__name__) is cls and cls.__name__ in errors.__all__


@pytest.mark.parametrize("cls", tree().values())
def test_an_error_crosses_a_process_boundary(cls: type[CommonArtError]) -> None:
    class Anything(dict[str, object]):
        def __missing__(self, key: str) -> object:
            self[key] = Phrase("inner {number}", number=3) if key == "why" else 7
            return self[key]

    fields = Anything()
    (cls.message + cls.hint).format_map(fields)
    error = cls(**fields)
    for copy in (from_wire(error.to_wire()), pickle.loads(pickle.dumps(error))):
        assert type(copy) is cls and str(copy) == str(error) and copy.advice == error.advice
        assert copy.exit_status == error.exit_status
        if "why" in fields:
            assert copy.fields["why"].template == "inner {number}"


def test_a_kind_of_a_newer_version_keeps_its_sentence() -> None:
    error = from_wire({"kind": "of-the-future", "message": "Something new", "fields": {"x": 1}})
    assert type(error) is CommonArtError and str(error) == "Something new"
