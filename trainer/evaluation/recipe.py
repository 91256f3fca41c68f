"""The recipe of an evaluation, what may differ between two compared ones, and reading a result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.contract.errors import BadFile, Phrase, RecipesDiffer, RunDiffers, system_words
from engine.contract.files import make_folder, replacing
from trainer.evaluation.metrics import Array
from trainer.evaluation.prompts import Item

VERSION = 1
RUN, RESULT = "run.json", "result.json"
_MOST = 500_000_000  # bytes of a result


def claim(out: Path, recipe: dict[str, Any], model: dict[str, Any]) -> None:
    """Record recipe and model in ``out``, or check that they are the same as recorded.

    Raises:
        RunDiffers, OutputFolder, DiskFull
    """
    mine = {f"recipe.{k}": v for k, v in recipe.items()} | {
        "model.hashes": model["hashes"],
        "model.loras": [[x["sha256"], x["scale"]] for x in model["loras"]],
    }
    mine = json.loads(json.dumps(mine))
    try:
        before = json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if isinstance(before, dict):
        for key in mine:
            if before.get(key) != mine[key]:
                raise RunDiffers(
                    path=out, key=key.partition(".")[2], before=_short(before.get(key)), now=_short(mine[key])
                )
        return
    make_folder(out)
    with replacing(out / RUN) as f:
        f.write(json.dumps(mine, ensure_ascii=False, indent=1).encode("utf-8"))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return text if len(text) <= 24 else text[:12] + "…"


def check_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Refuse two results with different recipes.

    Raises:
        RecipesDiffer: everything that differs is named with both values.
    """
    differing = [
        f"{k}: {_short(a['recipe'].get(k))} / {_short(b['recipe'].get(k))}"
        for k in {**a["recipe"], **b["recipe"]}
        if a["recipe"].get(k) != b["recipe"].get(k)
    ]

    def encoders(x: dict[str, Any]) -> list[Any]:
        return sorted((e["sha256"], e["resizer"]) for e in x["encoders"])

    if encoders(a) != encoders(b):
        names = [
            ", ".join(f"{e['name']} {e['sha256'][:8]} ({e['resizer']})" for e in x["encoders"]) or "–" for x in (a, b)
        ]
        differing.append(f"encoders: {names[0]} / {names[1]}")
    for part in ("reference", "concepts"):
        hashes = [(x.get(part) or {}).get("sha256") for x in (a, b)]
        if hashes[0] != hashes[1]:
            differing.append(f"{part}: {_short(hashes[0] or '–')} / {_short(hashes[1] or '–')}")
    if differing:
        raise RecipesDiffer(what="; ".join(differing))


def read_result(path: Path) -> dict[str, Any]:
    """Read and check a ``result.json``, which may be from an untrusted source.

    Raises:
        BadFile
    """
    try:
        if path.stat().st_size > _MOST:
            raise BadFile(path=path, why=Phrase("it is larger than {n} MB", n=_MOST // 1_000_000))
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise BadFile(path=path, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=path, why=Phrase("it is not JSON: {error}", error=str(e)[:100])) from e
    try:
        good = (
            data["commonart_evaluation"] == VERSION
            and isinstance(data["recipe"], dict)
            and isinstance(data["table"], list)
            and all(isinstance(e[k], str) for e in data["encoders"] for k in ("name", "sha256", "resizer"))
            and isinstance(data["model"]["name"], str)
            and all(isinstance(data.get(p), (dict, type(None))) for p in ("reference", "concepts"))
            and all(
                isinstance(i["lang"], str)
                and isinstance(i["index"], int)
                and isinstance(i["copy"], int)
                and isinstance(i["cosines"], dict)
                and (i["place"] is None or isinstance(i["place"], int))
                for i in data["items"]
            )
            and all(v is None or isinstance(v, (int, float)) for i in data["items"] for v in i["cosines"].values())
        )
    except (KeyError, TypeError, AttributeError):
        good = False
    if not good:
        raise BadFile(path=path, why=Phrase("it is not a result of an evaluation, or of another version"))
    return dict(data)


def images_of_result(path: Path, items: list[Item]) -> list[Path] | None:
    """The images in a result's folder, by our own file names; None if one is missing."""
    files = [path.parent / "pictures" / i.file for i in items]
    return files if all(f.is_file() for f in files) else None


def scores_in(result: dict[str, Any]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """A result's entry for each image, by language, index and copy."""
    return {(i["lang"], i["index"], i["copy"]): i for i in result["items"]}


def rows_of(rows: Array, indices: list[int], order: list[int]) -> Array:
    """Feature rows of the items in ``order``; ``indices`` are the items of ``rows``."""
    position = {i: n for n, i in enumerate(indices)}
    selected: Array = rows[[position[i] for i in order]]
    return selected
