"""The options that ``generate`` and ``queue add`` share, and their requests."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from commonart_desktop.core.compose import orders, requests_into
from commonart_desktop.core.i18n import printable, say, tr
from commonart_desktop.core.settings import load_settings
from engine.contract import naming
from engine.contract.errors import BadFile, BadValue, Phrase, UsageError
from engine.contract.other_tools import sampler_named
from engine.contract.paths import home, resources
from engine.contract.request import DTYPES, FORMATS, PRESETS, SAMPLERS, ImageRequest


def size(text: str) -> tuple[int, int]:
    """``512x768`` or ``512``."""
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text)
    if not match:
        raise BadValue(name="size", value=text, why=Phrase("it is written like {example}", example="512x768"))
    return int(match[1]), int(match[2] or match[1])


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of an image request."""
    parser.add_argument(
        "prompts",
        nargs="*",
        metavar=tr("PROMPT"),
        help=tr(
            "what to draw; {a|b} chooses, __name__ takes a line of a wildcard file, [[a|b]] makes every combination"
        ),
    )
    parser.add_argument(
        "--from",
        dest="file",
        type=Path,
        metavar="FILE",
        help=tr("prompts from a .txt (one a line; # begins a comment), .csv, .tsv or .jsonl file"),
    )
    parser.add_argument(
        "--encoding", help=tr("how that file, and wildcard files that are not UTF-8, are written (cp932)")
    )
    parser.add_argument(
        "--delimiter", metavar=tr("SIGN"), help=tr("what stands between the columns of that file, if not recognised")
    )
    parser.add_argument(
        "--wildcards",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help=tr("another folder of wildcard files"),
    )
    parser.add_argument("--negative", metavar=tr("TEXT"), help=tr("what to keep out of the image"))
    parser.add_argument("--model", metavar="NAME|FOLDER", help=tr("a model's name or folder"))
    parser.add_argument(
        "--text-encoder", metavar="FOLDER", help=tr("the language model of a bare denoiser; remembered")
    )
    parser.add_argument("--vae", metavar="FOLDER", help=tr("the VAE of a bare denoiser; remembered"))
    parser.add_argument(
        "--lora",
        action="append",
        metavar="LORA[:SCALE]",
        help=tr("a LoRA, by file, folder or name; may be given several times; the scale is 1 if not given"),
    )
    parser.add_argument(
        "--lora-beside",
        action="store_true",
        default=None,
        help=tr("run LoRAs beside the weights instead of adding them in"),
    )
    parser.add_argument("--preset", choices=PRESETS, help=tr("exact, or faster at a measured loss"))
    parser.add_argument("--count", type=int, default=1, metavar="N", help=tr("images of each prompt"))
    parser.add_argument(
        "--seed",
        type=int,
        metavar="S",
        help=tr("the first image's seed, then S+1 and so on; random if not given or -1"),
    )
    parser.add_argument("--steps", type=int, metavar="N", help=tr("denoising steps (20)"))
    parser.add_argument("--guidance", type=float, metavar="G", help=tr("how strictly to follow the prompt (4.5)"))
    parser.add_argument("--size", metavar="WxH", help=tr("pixels; the model's own size if not given"))
    parser.add_argument("--sampler", metavar="NAME", help=tr("one of {names}", names=", ".join(SAMPLERS)))
    parser.add_argument("--dtype", choices=DTYPES, help=tr("how numbers are held; auto chooses by the device"))
    parser.add_argument(
        "--deterministic", action="store_true", default=None, help=tr("the same bytes whatever else is in the batch")
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help=tr("the output folder (outputs)"))
    parser.add_argument(
        "--name",
        metavar=tr("TEMPLATE"),
        help=tr(
            "file names, such as {{date}}/{{prompt:40}}-{{seed}}; known are {fields}",
            fields=" ".join(f"{{{f}}}" for f in naming.FIELDS),
        ),
    )
    parser.add_argument("--format", choices=FORMATS, help=tr("the file format (png)"))


def backend_option(name: str | None) -> list[str]:
    """The worker's option for what runs the model."""
    return ["--backend", name] if name else []


def batch_option(count: int | None) -> list[str]:
    """The worker's option for a micro-batch. Raises BadValue."""
    if count is None:
        return []
    if not 1 <= count <= 256:
        raise BadValue(
            name="batch-size", value=count, why=Phrase("it must lie between {low} and {high}", low=1, high=256)
        )
    return ["--batch-size", str(count)]


def memory_option(parser: argparse.ArgumentParser) -> None:
    """Declare ``--memory``."""
    parser.add_argument(
        "--memory", metavar="GB", help=tr("how much of the device's memory a model may use; auto: what there is")
    )


def folder_of(text: str | None) -> str | None:
    """A model or part for the engine: a known name, else a folder by its full path.

    A folder here that happens to have the name of a known model does not hide that model.
    """
    if text is None:
        return None
    if not text.strip():
        raise BadValue(name="model", value="''", why=Phrase("it must be text"))
    path = Path(text).expanduser()
    plain = path.parts == (text,) and not text.startswith(".")
    if plain and any((place / "models" / text).is_dir() for place in (resources(), home())):
        return text
    return str(path.absolute()) if path.exists() or len(path.parts) > 2 else text


def lora_of(text: str) -> tuple[str, float]:
    """``FILE_OR_FOLDER_OR_NAME[:SCALE]``; a colon that is part of a Windows path is no scale. Raises BadValue."""
    name, colon, scale = text.rpartition(":")
    if not colon or not re.fullmatch(r"[-+]?\d*\.?\d+", scale):
        name, scale = text, "1"
    if not name.strip():
        raise BadValue(
            name="lora", value=repr(text), why=Phrase("it is written like {example}", example="style.safetensors:0.8")
        )
    path = Path(name).expanduser()
    # a folder counts if it holds an adapter: one that only happens to be here does not hide a LoRA known by its name
    here = (
        path.is_file()
        or (path.is_dir() and any(path.glob("*.safetensors")))
        or (path / "adapter_config.json").is_file()
    )
    return (str(path.absolute()) if here else name), float(scale)


def settings_from(args: argparse.Namespace) -> dict[str, Any]:
    """The settings given on the command line, as fields of ``ImageRequest``."""
    given: dict[str, Any] = {
        "negative": args.negative,
        "model": folder_of(args.model),
        "text_encoder": folder_of(args.text_encoder),
        "vae": folder_of(args.vae),
        "steps": args.steps,
        "guidance": args.guidance,
        "sampler": args.sampler and (sampler_named(args.sampler) or args.sampler),
        "dtype": args.dtype,
        "deterministic": args.deterministic,
        "name": args.name,
        "format": args.format,
        "preset": args.preset,
        "loras": tuple(lora_of(text) for text in args.lora) if args.lora else None,
        "lora_merged": False if args.lora_beside else None,
    }
    if args.size is not None:
        given["width"], given["height"] = size(args.size)
    return {k: v for k, v in given.items() if v is not None}


def requests_from(args: argparse.Namespace) -> list[ImageRequest]:
    """The requested images; the output folder is created.

    Raises:
        UsageError and its kinds.
    """
    if not args.prompts and args.file is None:
        raise UsageError(why=Phrase("Nothing to draw: give a prompt, or a file with --from"))
    mine = load_settings()
    base = {"model": folder_of(mine.model), **({"name": mine.name} if mine.name else {}), **settings_from(args)}
    folders = [*args.wildcards, home() / "wildcards"]
    for folder in args.wildcards:
        if not folder.is_dir():
            raise BadFile(path=folder, why=Phrase("there is no such folder"))
    said: set[str] = set()

    def note(text: Phrase) -> None:
        if text not in said:
            said.add(text)
            print(f"commonart: {printable(say(text))}", file=sys.stderr)

    return requests_into(
        args.out or Path(mine.out),
        orders(args.prompts, args.file, args.encoding, args.delimiter, note),
        base,
        source=args.file,
        count=args.count,
        seed=args.seed,
        wildcards=[f for f in folders if f.is_dir()],
        encoding=args.encoding,
        note=note,
    )
