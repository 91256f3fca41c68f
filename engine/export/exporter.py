"""The complete export: parts one after another, the parity checks, the manifest, and only then the requested name."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import ParityMissed, Phrase
from engine.contract.version import APP
from engine.export.layout import PARTS, SOURCES, copy_model_files, staged_folder, write_card, write_index
from engine.export.manifest import write_manifest
from engine.export.preflight import FP16_REFERENCE_ABOVE, ExportPlan, ExportRequest, preflight
from engine.export.stage import run_stage

SUBPROCESS_ABOVE = 128 << 20  # bytes of weights: larger parts get a process of their own, so that their memory is freed
WORK = ".work"  # inside the staged folder: PyTorch's outputs, pixels of both sides

Progress = Callable[[int, int], None]


class Exporter:
    """One export. Steps of its progress: a graph and its check for each part, the images of both sides, the hashes."""

    def __init__(self, plan: ExportPlan, folder: Path, progress: Progress | None) -> None:
        self.plan, self.folder, self._progress = plan, folder, progress
        self._done, self._steps = 0, len(PARTS) * 2 + (2 if plan.request.quantize == "int8" else 0) + 3
        self.work = folder / WORK
        self.memory: dict[str, dict[str, Any]] = {}
        self.parts: list[dict[str, Any]] = []  # results of the checks so far
        self.in_subprocess = max(plan.bytes_of(name) for name in plan.parameters) > SUBPROCESS_ABOVE
        if progress:
            progress(0, self._steps)

    def advance(self) -> None:
        """Report one more step as done."""
        self._done += 1
        if self._progress:
            self._progress(self._done, self._steps)

    def _job(self, **more: Any) -> dict[str, Any]:
        source = self.plan.folder
        return {
            "source": {
                "root": str(source.root),
                "text_encoder": str(source.text_encoder),
                "vae": str(source.vae),
                "name": source.name,
            },
            "loras": [[str(one.path), one.scale] for one in self.plan.loras],
            "out": str(self.plan.request.out),
        } | more

    def _fp16_reference(self, source: str, dtype: str) -> bool:
        """Whether a part is too large to be compared with PyTorch in float32."""
        return dtype == "fp16" and self.plan.bytes_stored[source] > FP16_REFERENCE_ABOVE

    def export_part(self, part: str) -> dict[str, Any]:
        """Export and check one part; one that float16 cannot represent is exported again in float32.

        Raises:
            ParityMissed
        """
        plan, request = self.plan, self.plan.request
        int8 = request.quantize == "int8" and part in ("text_encoder", "transformer")
        upcast = part.startswith("vae") and bool(plan.folder.vae_config.get("force_upcast"))
        dtype = "fp32" if int8 or upcast else request.dtype
        file = self.folder / part / "model.onnx"
        file.parent.mkdir(exist_ok=True)
        name = SOURCES[part]
        job = self._job(
            part=part,
            dtype=dtype,
            file=str(file),
            reference=str(self.work / f"{part}.npz"),
            fp16_reference=self._fp16_reference(name, dtype),
        )
        graph = run_stage("graph", job, in_subprocess=self.in_subprocess)
        self.advance()
        if int8:
            graph |= run_stage("quantize", job, in_subprocess=self.in_subprocess) | {"peak": graph["peak"]}
            self.advance()
        check = run_stage("check", job | {"dtype": "int8" if int8 else dtype}, in_subprocess=self.in_subprocess)
        self.advance()
        if dtype == "fp16" and (graph["overflow"] or not check["good"]):
            for old in file.parent.glob("model.onnx*"):
                old.unlink()
            job |= {"dtype": "fp32", "stored": False}
            fp16_graph, graph = graph, run_stage("graph", job, in_subprocess=self.in_subprocess)
            fp16_check, check = check, run_stage("check", job, in_subprocess=self.in_subprocess)
            check["fp16_missed"] = (
                "overflow" if fp16_graph["overflow"] else max(row["rms"] for row in fp16_check["rows"])
            )
        self.memory[part] = {
            "peak_bytes": graph["peak"],
            "check_peak_bytes": check.pop("peak"),
            "weights_bytes": plan.bytes_of(name),
            "alone": self.in_subprocess,
            "seconds": graph["seconds"],
        }
        self.parts.append({k: v for k, v in check.items() if k != "ok"})
        if not check["good"]:
            which, value, _ = worst_error(check)
            found = (
                Phrase("relative RMS error {value}", value=f"{value:.2e}")
                if which == "rms"
                else Phrase("largest relative error {value}", value=f"{value:.2e}")
            )
            raise ParityMissed(part=part, found=found, bound=f"{check[f'bound_{which}']:.0e}", parity=self._figures())
        return self.parts[-1]

    def _figures(self, pictures: dict[str, Any] | None = None) -> str:
        """The figures of a failed check as JSON text: the folder that would have contained them is removed."""
        return json.dumps({"parts": self.parts} | ({"pictures": pictures} if pictures else {}), ensure_ascii=False)

    def compare_images(self, dtype: str) -> dict[str, Any]:
        """Compare images generated by PyTorch and by the graphs.

        Raises:
            ParityMissed
        """
        from engine.export.image_parity import FEW_IMAGES, PROMPTS, compare

        count = len(PROMPTS) if dtype == "int8" else FEW_IMAGES
        files = {kind: self.work / f"{kind}.npy" for kind in ("pytorch", "onnx")}
        results: dict[str, dict[str, Any]] = {}
        for kind, file in files.items():
            results[kind] = run_stage(
                "images",
                self._job(
                    kind=kind,
                    folder=str(self.folder),
                    pixels=str(file),
                    count=count,
                    fp16_reference=self._fp16_reference("text_encoder", self.plan.request.dtype),
                    device="cuda" if results and results["pytorch"]["device"] == "cuda" else "cpu",
                ),
                in_subprocess=self.in_subprocess,
            )
            self.advance()
        self.memory["pictures"] = {f"{kind}_peak_bytes": result["peak"] for kind, result in results.items()} | {
            "alone": self.in_subprocess
        }
        found = compare(files["pytorch"], files["onnx"], dtype, self.folder / "parity")
        if not found["good"]:
            worst = max(self.parts, key=lambda one: worst_error(one)[2])
            which, value, _ = worst_error(worst)
            raise ParityMissed(
                part=Phrase("pictures"),
                bound=f"{found['bound_psnr']:.0f} dB",
                parity=self._figures(found),
                found=Phrase(
                    "{psnr} dB; of the graphs {graph} is furthest from PyTorch, {error} of the {bound} allowed",
                    psnr=f"{found['least_psnr']:.1f}",
                    graph=worst["part"],
                    error=f"{value:.1e}",
                    bound=f"{worst[f'bound_{which}']:.0e}",
                ),
            )
        return found | {
            "libraries": {k: v["libraries"] for k, v in results.items()},
            "devices": {k: v["device"] for k, v in results.items()},
        }


def worst_error(check: dict[str, Any]) -> tuple[str, float, float]:
    """Of a part's rows the error that is largest relative to its bound: ("rms" or "max", the error, its share)."""
    return max(
        (
            (which, row[which], row[which] / check[f"bound_{which}"])
            for row in check["rows"]
            for which in ("rms", "max")
        ),
        key=lambda one: one[2],
    )


def export(request: ExportRequest, progress: Progress | None = None) -> dict[str, Any]:
    """Export a model; returns the folder, its parity report, and the LoRAs whose metadata name another base model.

    Raises:
        what ``preflight`` raises; NotExportable, ParityMissed, OutputFolder, DiskFull, EngineStopped. Nothing is left
        behind then.
    """
    began = time.monotonic()
    plan = preflight(request)
    hashes = plan.folder.hashes()  # also reads all weights once
    with staged_folder(request.out) as folder:
        exporter = Exporter(plan, folder, progress)
        exporter.work.mkdir()
        parts = [exporter.export_part(part) for part in PARTS]
        copy_model_files(plan.folder, folder)
        write_index(plan.folder, folder)
        dtype = "int8" if request.quantize == "int8" else request.dtype
        about = {
            "app": APP,
            "model": plan.folder.name,
            "hashes": hashes,
            "loras": [one.record() for one in plan.loras],
            "dtype": request.dtype,
            "quantize": request.quantize,
            "dtypes": {p["part"]: p["dtype"] for p in parts},
            "max_tokens": plan.folder.max_tokens,
            "libraries": _libraries(),
        }
        write_manifest(folder, about)  # the backend requires it
        parity: dict[str, Any] = {
            "version": 1,
            "good": True,
            "dtype": request.dtype,
            "quantize": request.quantize,
            "parts": parts,
        }
        parity["pictures"] = exporter.compare_images(dtype)
        parity |= {"memory": exporter.memory, "libraries": about["libraries"], "hashes": hashes}
        shutil.rmtree(exporter.work)
        write_card(plan.folder, folder, about, parity)
        _write_json(folder / "parity.json", parity | {"files": write_manifest(folder, about)["files"]})
        manifest = write_manifest(folder, about)
        exporter.advance()
    return {
        "out": str(request.out.absolute()),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": sum(p.stat().st_size for p in request.out.rglob("*") if p.is_file()),
        "files": len(manifest["files"]),
        "strange_loras": [one.name for one in plan.loras if one.strange],
        "parity": parity,
    }


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "onnx", "onnxscript", "optimum", "transformers", "diffusers")}


def _write_json(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
