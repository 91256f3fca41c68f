"""``python -m engine.output COMMAND``: the metadata of an image, and contact sheets.

One JSON document on standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from engine.contract.errors import BadFile, NoRecipe, Phrase, system_words
from engine.contract.image_parameters import read_parameters
from engine.imagefile.image import FORMATS, read_image_texts, read_recipe
from engine.imagefile.text_chunks import PARAMETERS
from engine.system.json_program import JsonArgumentParser, run_json_program


def show(path: Path) -> dict[str, Any]:
    """Recipe, texts of other programs and what they say, size and format of an image.

    Raises:
        BadFile: not an image. NoRecipe: it has neither a recipe nor a text of another program.
    """
    try:
        recipe: dict[str, Any] | None = read_recipe(path)
    except NoRecipe:
        recipe = None
    texts = read_image_texts(path)
    if recipe is None and not texts.shown():
        raise NoRecipe(path=path)
    read = read_parameters(texts.plain)
    with Image.open(path, formats=FORMATS) as image:  # as it was opened before
        width, height = image.size
        kind = (image.format or "").lower()
    return {
        "path": str(path),
        "recipe": recipe,
        "parameters": texts.plain.get(PARAMETERS, "")[:100_000],
        "tool": texts.tool,
        "texts": texts.shown(),
        "read": None if read is None else asdict(read),
        "width": width,
        "height": height,
        "format": kind,
    }


def read_captions(file: Path, pictures: Sequence[str]) -> list[str]:
    """Captions from JSON: a list with one per image, or an object from image (as given, or its file name) to caption.

    Raises:
        BadFile
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as e:
        raise BadFile(path=file, why=system_words(e)) from e
    except (ValueError, RecursionError) as e:
        raise BadFile(path=file, why=Phrase("it is not JSON")) from e
    if isinstance(data, dict):
        data = [data.get(p, data.get(Path(p).name, "")) for p in pictures]
    if not isinstance(data, list) or len(data) != len(pictures) or not all(isinstance(c, str) for c in data):
        raise BadFile(path=file, why=Phrase("it must hold one caption for each of the {n} images", n=len(pictures)))
    return data


def work(argv: list[str]) -> dict[str, Any]:
    """The command in ``argv``."""
    parser = JsonArgumentParser(prog="python -m engine.output", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=JsonArgumentParser)
    command = commands.add_parser("show")
    command.add_argument("image", metavar="IMAGE", type=Path)
    command = commands.add_parser("sheet")
    command.add_argument("out", metavar="OUT.png", type=Path)
    command.add_argument("images", metavar="IMAGE", nargs="+")
    command.add_argument("--columns", type=int)
    command.add_argument("--captions-json", metavar="FILE", type=Path)
    args = parser.parse_args(argv)
    if args.command == "show":
        return show(args.image)
    from engine.output.contact_sheet import write_sheet

    captions = read_captions(args.captions_json, args.images) if args.captions_json else None
    written = write_sheet(args.out, [Path(p) for p in args.images], captions, args.columns)
    return asdict(written) | {"path": str(written.path), "pictures": len(args.images)}


if __name__ == "__main__":
    sys.exit(run_json_program(work))
