"""The whole export: parts one after the other, the gate, the manifest, and only then the name that was asked for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.contract.errors import ParityMissed, Phrase
from engine.contract.version import APP
from engine.export.layout import carry_over, growing, write_card, write_index
from engine.export.manifest import write_manifest
from engine.export.preflight import STORED, ExportPlan, ExportRequest, preflight
from engine.export.stage import run_stage

PARTS = ("text_encoder", "transformer", "vae_decoder", "vae_encoder")
SOURCES = {"text_encoder": "text_encoder", "transformer": "denoiser", "vae_decoder": "vae", "vae_encoder": "vae"}
ALONE = 128 << 20  # bytes of weights: larger parts get a process of their own, so that their memory is given back
WORK = ".work"  # inside the growing folder: what PyTorch gave, pixels of both sides

Progress = Callable[[int, int], None]


class Exporter:
    """One export under way. Steps: a graph and its check for each part, the pictures of both sides, the hashes."""

    def __init__(self, plan: ExportPlan, folder: Path, progress: Progress | None) -> None:
        self.plan, self.folder, self._progress = plan, folder, progress
        self._done, self._steps = 0, len(PARTS) * 2 + (2 if plan.wish.quantize == "int8" else 0) + 3
        self.work = folder / WORK
        self.memory: dict[str, dict[str, Any]] = {}
        self.parts: list[dict[str, Any]] = []  # what the checks gave so far
        self.alone = max(plan.bytes_of(name) for name in plan.numbers) > ALONE
        if progress:
            progress(0, self._steps)

    def step(self) -> None:
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
            "out": str(self.plan.wish.out),
        } | more

    def _stored(self, source: str, dtype: str) -> bool:
        """Whether a part is too large to be compared with float32."""
        return dtype == "fp16" and self.plan.stored[source] > STORED

    def part(self, part: str) -> dict[str, Any]:
        """Export and check one part; what float16 cannot hold is made again in float32.

        Raises:
            ParityMissed
        """
        plan, wish = self.plan, self.plan.wish
        int8 = wish.quantize == "int8" and part in ("text_encoder", "transformer")
        upcast = part.startswith("vae") and bool(plan.folder.vae_config.get("force_upcast"))
        dtype = "fp32" if int8 or upcast else wish.dtype
        file = self.folder / part / "model.onnx"
        file.parent.mkdir(exist_ok=True)
        name = SOURCES[part]
        job = self._job(
            part=part,
            dtype=dtype,
            file=str(file),
            reference=str(self.work / f"{part}.npz"),
            stored=self._stored(name, dtype),
        )
        made = run_stage("graph", job, alone=self.alone)
        self.step()
        if int8:
            made |= run_stage("quantize", job, alone=self.alone) | {"peak": made["peak"]}
            self.step()
        checked = run_stage("check", job | {"dtype": "int8" if int8 else dtype}, alone=self.alone)
        self.step()
        if dtype == "fp16" and (made["overflow"] or not checked["good"]):
            for old in file.parent.glob("model.onnx*"):
                old.unlink()
            job |= {"dtype": "fp32", "stored": False}
            made_narrow, made = made, run_stage("graph", job, alone=self.alone)
            narrow, checked = checked, run_stage("check", job, alone=self.alone)
            checked["fp16_missed"] = (
                "overflow" if made_narrow["overflow"] else max(row["rms"] for row in narrow["rows"])
            )
        self.memory[part] = {
            "peak_bytes": made["peak"],
            "check_peak_bytes": checked.pop("peak"),
            "weights_bytes": plan.bytes_of(name),
            "alone": self.alone,
            "seconds": made["seconds"],
        }
        self.parts.append({k: v for k, v in checked.items() if k != "ok"})
        if not checked["good"]:
            which, value, _ = furthest(checked)
            found = (
                Phrase("relative RMS error {value}", value=f"{value:.2e}")
                if which == "rms"
                else Phrase("largest relative error {value}", value=f"{value:.2e}")
            )
            raise ParityMissed(part=part, found=found, bound=f"{checked[f'bound_{which}']:.0e}", parity=self._so_far())
        return self.parts[-1]

    def _so_far(self, pictures: dict[str, Any] | None = None) -> str:
        """The figures of a gate that failed, as JSON text: the folder that would have held them is removed."""
        return json.dumps({"parts": self.parts} | ({"pictures": pictures} if pictures else {}), ensure_ascii=False)

    def pictures(self, dtype: str) -> dict[str, Any]:
        """Whole pictures of both sides.

        Raises:
            ParityMissed
        """
        from engine.export.image_parity import FEW, PROMPTS, compare

        count = len(PROMPTS) if dtype == "int8" else FEW
        files = {kind: self.work / f"{kind}.npy" for kind in ("pytorch", "onnx")}
        told: dict[str, dict[str, Any]] = {}
        for kind, file in files.items():
            told[kind] = run_stage(
                "pictures",
                self._job(
                    kind=kind,
                    folder=str(self.folder),
                    pixels=str(file),
                    count=count,
                    stored=self._stored("text_encoder", self.plan.wish.dtype),
                    device="cuda" if told and told["pytorch"]["device"] == "cuda" else "cpu",
                ),
                alone=self.alone,
            )
            self.step()
        self.memory["pictures"] = {f"{kind}_peak_bytes": answer["peak"] for kind, answer in told.items()} | {
            "alone": self.alone
        }
        found = compare(files["pytorch"], files["onnx"], dtype, self.folder / "parity")
        if not found["good"]:
            worst = max(self.parts, key=lambda one: furthest(one)[2])
            which, value, _ = furthest(worst)
            raise ParityMissed(
                part=Phrase("pictures"),
                bound=f"{found['bound_psnr']:.0f} dB",
                parity=self._so_far(found),
                found=Phrase(
                    "{psnr} dB; of the graphs {graph} is furthest from PyTorch, {error} of the {bound} allowed",
                    psnr=f"{found['least_psnr']:.1f}",
                    graph=worst["part"],
                    error=f"{value:.1e}",
                    bound=f"{worst[f'bound_{which}']:.0e}",
                ),
            )
        return found | {
            "libraries": {k: v["libraries"] for k, v in told.items()},
            "devices": {k: v["device"] for k, v in told.items()},
        }


def furthest(checked: dict[str, Any]) -> tuple[str, float, float]:
    """Of a part's rows the error that comes nearest to its bound, or is furthest beyond: ("rms" or "max", the error, its share of the bound)."""
    return max(
        (
            (which, row[which], row[which] / checked[f"bound_{which}"])
            for row in checked["rows"]
            for which in ("rms", "max")
        ),
        key=lambda one: one[2],
    )


def export(wish: ExportRequest, progress: Progress | None = None) -> dict[str, Any]:
    """Do it; returns where the export lies, its parity report, and the LoRAs that say they were made for another base model.

    Raises:
        what ``ask`` raises; NotExportable, ParityMissed, OutputFolder, DiskFull, EngineStopped. Nothing stays behind then.
    """
    began = time.monotonic()
    plan = preflight(wish)
    hashes = plan.folder.hashes()  # also reads every number of the weights once
    with growing(wish.out) as folder:
        work = Exporter(plan, folder, progress)
        work.work.mkdir()
        parts = [work.part(part) for part in PARTS]
        carry_over(plan.folder, folder)
        write_index(plan.folder, folder)
        dtype = "int8" if wish.quantize == "int8" else wish.dtype
        about = {
            "app": APP,
            "model": plan.folder.name,
            "hashes": hashes,
            "loras": [one.record() for one in plan.loras],
            "dtype": wish.dtype,
            "quantize": wish.quantize,
            "dtypes": {p["part"]: p["dtype"] for p in parts},
            "max_tokens": plan.folder.max_tokens,
            "libraries": _libraries(),
        }
        write_manifest(folder, about)  # the backend asks for it
        parity: dict[str, Any] = {
            "version": 1,
            "good": True,
            "dtype": wish.dtype,
            "quantize": wish.quantize,
            "parts": parts,
        }
        parity["pictures"] = work.pictures(dtype)
        parity |= {"memory": work.memory, "libraries": about["libraries"], "hashes": hashes}
        shutil.rmtree(work.work)
        write_card(plan.folder, folder, about, parity)
        _json(folder / "parity.json", parity | {"files": write_manifest(folder, about)["files"]})
        manifest = write_manifest(folder, about)
        work.step()
    return {
        "out": str(wish.out.absolute()),
        "seconds": round(time.monotonic() - began, 1),
        "bytes": sum(p.stat().st_size for p in wish.out.rglob("*") if p.is_file()),
        "files": len(manifest["files"]),
        "strange_loras": [one.name for one in plan.loras if one.strange],
        "parity": parity,
    }


def _libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "onnx", "onnxscript", "optimum", "transformers", "diffusers")}


def _json(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
