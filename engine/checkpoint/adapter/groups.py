"""An adapter's tensors gathered by the layer that they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.checkpoint.adapter.keys import bare, read_key
from engine.checkpoint.weights import TensorEntry
from engine.contract.errors import BrokenWeights, Phrase, UnsupportedAdapter


@dataclass
class Group:
    """The tensors of one layer as they are gathered."""

    layer: str
    kinds: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)


def gather(path: Path, table: Mapping[str, TensorEntry]) -> tuple[dict[str, Group], list[str]]:
    """The tensors by layer as the file calls it, and the names that belong to no known kind of adapter.

    Raises:
        BrokenWeights: two tensors for one factor. UnsupportedAdapter: several adapters in one file.
    """
    groups: dict[str, Group] = {}
    unknown: list[str] = []
    adapters: set[str] = set()
    for name in table:
        key = read_key(name)
        if key is None:
            unknown.append(name)
            continue
        adapters |= {key.adapter} - {""}
        if len(adapters) > 1:
            raise UnsupportedAdapter(
                path=path, why=Phrase("several adapters lie in it; save each in a file of its own")
            )
        group = groups.setdefault(key.layer, Group(key.layer))
        if key.factor in group.names:
            raise BrokenWeights(path=path, why=Phrase("it has {name} twice", name=f"{bare(key.layer)}.{key.factor}"))
        group.names[key.factor] = name
        group.kinds |= {key.kind} - {""}
    return groups, unknown
