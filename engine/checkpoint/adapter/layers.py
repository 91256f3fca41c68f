"""An adapter's tensors put together layer by layer and fitted to a model: kinds, ranks, shapes and factors.

Kinds, with W of shape ``[out, in]`` or ``[out, in, height, width]``:

* LoRA: B A (Hu et al., arXiv 2106.09685), for convolutions also with a middle tensor (LyCORIS' Tucker form);
* LoHa: (w1_a w1_b) * (w2_a w2_b), number by number (Hyeon-Woo et al., arXiv 2108.06098);
* LoKr: the Kronecker product of w1 and w2, each whole or in two factors (Yeh et al., arXiv 2309.14859);
* DoRA on any of them: rows or columns of the sum brought to a learned length (Liu et al., arXiv 2402.09353).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.checkpoint.adapter.groups import Group
from engine.checkpoint.adapter.keys import LayerNames, bare
from engine.checkpoint.adapter.settings import Settings
from engine.checkpoint.weights import TensorEntry
from engine.contract.errors import BrokenWeights, LoraForOther, Phrase, UnsupportedAdapter

Shape = tuple[int, ...]
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_TITLES = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr"}


@dataclass(frozen=True)
class Layer:
    """What changes one layer. ``tensors`` has the names in the file by factor: ``down``, ``up``, ``mid``, ``w1_a`` and
    so on.

    ``factor`` multiplies the product, without the strength that the user chose. ``rank`` is None for a LoKr whose
    factors are both whole. ``magnitude`` is ``""``, or whose form of DoRA: ``peft`` (rows), ``rows`` or ``columns``
    (LyCORIS).
    """

    kind: str
    tensors: dict[str, str]
    rank: int | None
    factor: float
    magnitude: str = ""


def fit(
    path: Path,
    table: Mapping[str, TensorEntry],
    groups: Mapping[str, Group],
    modules: Mapping[str, Shape],
    settings: Settings | None,
    scalar: Callable[[str], float | None],
) -> dict[str, Layer]:
    """The layers by the model's module names. ``modules`` has the weight shape of every layer that may be changed,
    ``scalar`` reads a number.

    Raises:
        BrokenWeights: a factor is missing, or factors do not fit each other or the settings. LoraForOther: a layer that
            the model has
        not, or of another shape. UnsupportedAdapter
    """
    names = LayerNames(modules)
    found: dict[str, Layer] = {}
    for group in groups.values():
        module = names.find(group.layer)
        if module is None:
            raise LoraForOther(
                path=path,
                why=Phrase("it changes {layer}, which the model does not have", layer=bare(group.layer)[:200]),
            )
        if module in found:
            raise BrokenWeights(path=path, why=Phrase("it has {name} twice", name=module))
        found[module] = _Fit(path, table, group, module, modules[module], settings).layer(scalar)
    return found


class _Fit:
    """One layer's tensors against one layer's weight."""

    def __init__(
        self,
        path: Path,
        table: Mapping[str, TensorEntry],
        group: Group,
        module: str,
        weight: Shape,
        settings: Settings | None,
    ) -> None:
        self._path, self._table, self._names, self._module = path, table, dict(group.names), module
        self._kinds, self._weight, self._settings = group.kinds, weight, settings

    def layer(self, scalar: Callable[[str], float | None]) -> Layer:
        if len(self._kinds) != 1:
            raise self._alone(next(iter(self._names)))
        kind = next(iter(self._kinds))
        for name in self._names.values():
            entry = self._table[name]
            if 0 in entry.shape:
                raise BrokenWeights(path=self._path, why=Phrase("{layer} has rank 0 or no numbers", layer=self._module))
            if entry.dtype not in _FLOATS and not name.endswith(".alpha"):
                raise UnsupportedAdapter(
                    path=self._path,
                    why=Phrase("its tensor {name} is of the type {dtype}", name=name, dtype=entry.dtype),
                )
        rank = {"lora": self._lora, "loha": self._loha, "lokr": self._lokr}[kind]()
        magnitude = self._magnitude()
        tensors = {factor: name for factor, name in self._names.items() if factor != "alpha"}
        return Layer(kind, tensors, rank, self._factor(kind, rank, scalar, bool(magnitude)), magnitude)

    # factors ------------------------------------------------------------------------------------------------------

    def _factor(self, kind: str, rank: int | None, scalar: Callable[[str], float | None], dora: bool) -> float:
        name, settings = self._names.get("alpha"), self._settings
        if name is not None:  # kohya and LyCORIS: alpha beside the factors; LyCORIS has rsLoRA in it already
            alpha = scalar(name)
            if alpha is None:
                raise BrokenWeights(path=self._path, why=Phrase("its tensor {name} is no number", name=name))
            return alpha / rank if alpha and rank else 1.0  # both take alpha 0 for the rank
        if settings is None:
            return 1.0
        if settings.kind != kind:
            raise BrokenWeights(
                path=self._path,
                why=Phrase(
                    "its adapter settings are of a {wanted}, its tensors of a {found}",
                    wanted=_TITLES[settings.kind],
                    found=_TITLES[kind],
                ),
            )
        wanted = settings.rank_of(self._module)
        if rank is not None and wanted is not None and rank != wanted:
            raise BrokenWeights(
                path=self._path,
                why=Phrase(
                    "{layer} has rank {found}, and its adapter settings say {wanted}",
                    layer=self._module,
                    found=rank,
                    wanted=wanted,
                ),
            )
        if settings.dora and not dora:
            raise BrokenWeights(
                path=self._path,
                why=Phrase("its adapter settings say DoRA, and {layer} has no lengths", layer=self._module),
            )
        return settings.factor(self._module, rank)

    def _magnitude(self) -> str:
        """Which form of DoRA; a scale of rows and one of columns differ in shape only."""
        own, other = self._names.get("magnitude"), self._names.get("dora_scale")
        if own and other:
            raise self._alone("dora_scale")
        name = own or other
        if name is None:
            return ""
        shape, out, into = self._table[name].shape, self._weight[0], self._weight[1]
        rest = shape[2:] if len(shape) > 1 else ()
        if math.prod(shape) == out and (own or shape[0] == out):
            return "peft" if own else "rows"
        if not own and len(shape) > 1 and shape[:2] == (1, into) and math.prod(rest) == 1:
            return "columns"
        raise self._alone("magnitude" if own else "dora_scale")

    # shapes -------------------------------------------------------------------------------------------------------

    def _lora(self) -> int:
        down, up = self._pair("down", "up")
        into, kernel = self._weight[1], self._weight[2:]
        rank, inside = down[0], math.prod(kernel) if "mid" in self._names else 1
        self._whole(up[0], math.prod(down[1:]) * inside)
        if "mid" in self._names:
            shapes = (self._table[self._names["mid"]].shape, math.prod(down[1:]))
            good = bool(kernel) and shapes == ((rank, rank, *kernel), into)
        else:
            good = len(down) == 2 or down[1:] == (into, *(kernel or (1,) * (len(down) - 2)))
        if not good or up[1] != rank or math.prod(up[2:]) != 1:
            raise self._alone("down")
        return rank

    def _loha(self) -> int:
        w1_a, w1_b = self._pair("w1_a", "w1_b")
        w2_a, w2_b = self._pair("w2_a", "w2_b")
        kernel, rank = self._weight[2:], w1_b[0]
        if "t1" in self._names or "t2" in self._names:
            cores = self._pair("t1", "t2")
            self._whole(w1_a[1], math.prod(w1_b[1:]) * math.prod(kernel))
            good = bool(kernel) and set(cores) == {(rank, rank, *kernel)} and w1_a[0] == rank
        else:
            self._whole(w1_a[0], math.prod(w1_b[1:]))
            good = w1_a[1] == rank
        if not good or w2_a != w1_a or w2_b != w1_b:
            raise self._alone("w1_a")
        return rank

    def _lokr(self) -> int | None:
        kernel, ranks = self._weight[2:], []
        if "w1" in self._names:
            first = self._table[self._names["w1"]].shape
            good = len(first) == 2 and not {"w1_a", "w1_b"} & self._names.keys()
        else:
            a, b = self._pair("w1_a", "w1_b")
            first, ranks, good = (a[0], b[1]), [a[1], b[0]], len(a) == len(b) == 2
        if not good:
            raise self._alone("w1" if "w1" in self._names else "w1_a")
        if "w2" in self._names:
            w2 = self._table[self._names["w2"]].shape
            second, good = (w2[0], math.prod(w2[1:])), len(w2) == len(self._weight)
            good = good and w2[2:] == kernel and not {"w2_a", "w2_b", "t2"} & self._names.keys()
        else:
            a, b = self._pair("w2_a", "w2_b")
            ranks.append(b[0])
            if "t2" in self._names:
                second, ranks = (a[1], b[1] * math.prod(kernel)), [*ranks, a[0]]
                good = bool(kernel) and self._table[self._names["t2"]].shape == (b[0], b[0], *kernel)
            else:
                second, ranks = (a[0], math.prod(b[1:])), [*ranks, a[1]]
        self._whole(first[0] * second[0], first[1] * second[1])
        if not good or second[1] % math.prod(kernel) or len(set(ranks)) > 1:
            raise self._alone("w2" if "w2" in self._names else "w2_a")
        return ranks[0] if ranks else None

    def _pair(self, one: str, other: str) -> tuple[Shape, Shape]:
        """The shapes of two factors that are nothing without each other, both of two dimensions or more."""
        for here, there in ((one, other), (other, one)):
            if there not in self._names:
                raise self._alone(here if here in self._names else next(iter(self._names)))
        shapes = self._table[self._names[one]].shape, self._table[self._names[other]].shape
        if min(map(len, shapes)) < 2:
            raise self._alone(one)
        return shapes

    def _whole(self, rows: int, columns: int) -> None:
        """The product's shape as a matrix against that of the weight."""
        if (rows, columns) != (self._weight[0], math.prod(self._weight[1:])):
            raise self._other([rows, columns])

    def _alone(self, factor: str) -> BrokenWeights:
        name = self._names[factor]
        return BrokenWeights(path=self._path, why=Phrase("the tensor {name} has no partner that fits it", name=name))

    def _other(self, found: list[int]) -> LoraForOther:
        wanted = [self._weight[0], math.prod(self._weight[1:])]
        return LoraForOther(
            path=self._path,
            why=Phrase(
                "{layer} is {found} there and {wanted} in the model", layer=self._module, found=found, wanted=wanted
            ),
        )
