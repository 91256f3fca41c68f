"""Makes ``tiny_onnx.zip``: the tiny pipeline of ``tests.support.tiny_models`` and its ONNX export, kept because
exporting takes longer than all tests of what runs it. Run again when the exporter's graphs change: ``python -m
tests.data.tiny_onnx``.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

FILE = Path(__file__).with_name("tiny_onnx.zip")
PARTS = ("transformer", "text_encoder", "vae_decoder")


def unpack(folder: Path) -> tuple[Path, Path]:
    """(the pipeline that PyTorch runs, its export)."""
    with zipfile.ZipFile(FILE) as archive:
        archive.extractall(folder)
    return folder / "tiny", folder / "tiny-onnx"


def make(base: Path) -> None:
    from engine.checkpoint.layout import identify
    from engine.export.layout import copy_model_files, write_index
    from engine.export.manifest import write_manifest
    from engine.export.part_export import export_graph
    from tests.support.tiny_models import make_pipeline

    source = identify(make_pipeline(base / "tiny"))
    out = base / "tiny-onnx"
    where = {"root": str(source.root), "text_encoder": str(source.text_encoder), "vae": str(source.vae), "name": "tiny"}
    for part in (*PARTS, "vae_encoder"):
        (out / part).mkdir(parents=True, exist_ok=True)
        if part in PARTS:
            export_graph(
                {
                    "source": where,
                    "loras": [],
                    "part": part,
                    "dtype": "fp32",
                    "file": str(out / part / "model.onnx"),
                    "reference": str(base / f"{part}.npz"),
                    "fp16_reference": False,
                }
            )
    copy_model_files(source, out)
    write_index(source, out)
    write_manifest(
        out,
        {
            "app": "tests",
            "model": "tiny",
            "hashes": source.hashes(),
            "loras": [],
            "dtype": "fp32",
            "quantize": "none",
            "max_tokens": source.max_tokens,
        },
    )
    with zipfile.ZipFile(FILE, "w", zipfile.ZIP_LZMA) as archive:
        for file in sorted(
            f for f in base.rglob("*") if f.is_file() and f.relative_to(base).parts[0] in ("tiny", "tiny-onnx")
        ):
            archive.write(file, file.relative_to(base).as_posix())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        make(Path(scratch))
    sys.stdout.write(f"{FILE} {FILE.stat().st_size}\n")
