"""``commonart dataset``: folders of images to learn from, with licence and origin of each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commonart_desktop.cli import dataset_commands
from commonart_desktop.core.i18n import tr

FORMATS = (
    "auto",
    "plain",
    "reuse",
    "imagefolder",
    "webdataset",
    "table",
    "commoncatalog",
    "megalith",
    "yfcc100m",
    "smithsonian",
)


def add(subparsers: Any) -> None:
    """Declare the command and its own commands."""
    text = tr("images to learn from, with the licence of each")
    parser = subparsers.add_parser("dataset", help=text, description=text)
    commands = parser.add_subparsers(dest="dataset_command", required=True, metavar=tr("COMMAND"))
    for name, text, does in (
        ("import", tr("take images and their records into a dataset folder"), dataset_commands.import_command),
        ("check", tr("the licence gate: may these images be learned from?"), dataset_commands.check_command),
        ("report", tr("how many of each licence, creator, language and size"), dataset_commands.report_command),
        ("caption", tr("write captions with a local model"), dataset_commands.caption_command),
        ("show", tr("the records, or all that is known of one image"), dataset_commands.show_command),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("folder", type=Path, metavar="FOLDER", help=tr("the dataset folder"))
        {"import": _import_options, "check": _check_options, "caption": _caption_options, "show": _show_options}.get(
            name, lambda _: None
        )(one)
        one.add_argument("--json", action="store_true")
        one.set_defaults(run=does)


def _import_options(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--from",
        dest="source",
        type=Path,
        required=True,
        metavar="SRC",
        help=tr("a folder, a table (.csv, .tsv, .jsonl, .parquet) or a tar archive"),
    )
    one.add_argument(
        "--format", choices=FORMATS, default="auto", help=tr("how it is written; found out by itself if not given")
    )
    one.add_argument(
        "--license",
        metavar="SPDX",
        help=tr("the licence of images that do not name their own, such as CC0-1.0, CC-BY-4.0 or LicenseRef-Own"),
    )
    one.add_argument("--license-url", metavar="URL", help=tr("where that licence can be read"))
    one.add_argument(
        "--license-table",
        choices=("flickr",),
        help=tr("what numbers in a licence column stand for, where the source uses those of Flickr"),
    )
    one.add_argument("--creator", metavar=tr("NAME"), help=tr("who made images that name nobody"))
    one.add_argument("--source-url", metavar="URL", help=tr("where images come from that do not say so"))
    one.add_argument("--pictures", type=Path, metavar="DIR", help=tr("where the images of a table lie"))
    one.add_argument(
        "--encoding", metavar=tr("NAME"), help=tr("how captions and tables are written, if not in UTF-8 (cp932)")
    )
    one.add_argument("--caption-origin", metavar=tr("TEXT"), help=tr("who wrote the captions: human, or machine:MODEL"))
    one.add_argument(
        "--link", action="store_true", help=tr("link to the images where they are instead of copying them")
    )


def _check_options(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--policy", default="commercial", metavar="NAME|FILE", help=tr("commercial, noncommercial or a TOML file")
    )
    one.add_argument("--full", action="store_true", help=tr("read every byte again, also of files that did not change"))
    one.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help=tr("where gate-report.json and ATTRIBUTION.md go, if not into the folder"),
    )


def _caption_options(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--model", type=Path, metavar="DIR", help=tr("a local folder of Florence-2, BLIP-2, LLaVA or Qwen2-VL")
    )
    one.add_argument("--language", choices=("en", "ja", "both"), default="both", help=tr("which captions are wanted"))
    one.add_argument(
        "--overwrite", action="store_true", help=tr("also replace captions that are there, those of people too")
    )
    one.add_argument("--device", default="auto", help=tr("where to run: auto, cpu, cuda, mps"))
    one.add_argument("--batch-size", type=int, metavar="N", help=tr("images at once"))
    one.add_argument("--prompt-en", metavar=tr("TEXT"), help=tr("what to ask the model for an English caption"))
    one.add_argument("--prompt-ja", metavar=tr("TEXT"), help=tr("what to ask the model for a Japanese caption"))


def _show_options(one: argparse.ArgumentParser) -> None:
    one.add_argument("file", nargs="?", metavar="FILE", help=tr("one image of it"))
