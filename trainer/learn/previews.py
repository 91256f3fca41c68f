"""Preview images while training, by the engine's own sampling from fixed prompts and seeds. No failure ends the run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.backends.pytorch.denoise import noise
from engine.backends.pytorch.load import load_vae
from engine.backends.pytorch.samplers import build_sampler
from engine.checkpoint.layout import ModelFolder
from engine.contract import training_events as events
from engine.contract.files import replacing
from engine.models.pixart import DiT
from engine.pipeline import denoise
from engine.sampling.schedule import Schedule
from trainer.config import Previews
from trainer.learn.data.feature_cache import FeatureCache
from trainer.learn.distributed.processes import Processes
from trainer.learn.reporter import Reporter
from trainer.learn.train_state import TrainState
from trainer.learn.train_step import TrainStep


class PreviewPainter:
    """Draws the run's previews."""

    def __init__(
        self, options: Previews, folder: ModelFolder, schedule: Schedule, features: FeatureCache, out: Path
    ) -> None:
        self._options, self._folder, self._schedule = options, folder, schedule
        self._features, self._out = features, out

    def texts(self) -> list[str]:
        """Captions whose features must be prepared."""
        return [*self._options.prompts, ""] if self._options.prompts else []

    def draw(
        self, model: DiT, stepper: TrainStep, step: int, device: torch.device, done: Callable[[Path, str, int], None]
    ) -> None:
        """Write one image per prompt, ``previews/step-00000100-1.png``; the VAE is loaded for it and released.

        ``done`` is called with the path, prompt and seed of each.
        """
        multiple = self._folder.multiple
        side = max(multiple, (self._options.size or self._folder.own_side) // multiple * multiple)
        vae = load_vae(self._folder, device, torch.float32)
        model.eval()
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            for n, prompt in enumerate(self._options.prompts):
                seed = (self._options.seed + n) % 2**32
                with torch.no_grad(), stepper.autocast():
                    pixels = self._pixels(model, vae, prompt, seed, side, device)
                path = self._out / f"step-{step:08d}-{n + 1}.png"
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                with replacing(path) as f:
                    f.write(buffer.getvalue())
                done(path, prompt, seed)
        finally:
            model.train()
            del vae
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _pixels(
        self, model: DiT, vae: Any, prompt: str, seed: int, side: int, device: torch.device
    ) -> np.ndarray[Any, Any]:
        """uint8 RGB ``[side, side, 3]``, with the empty caption as the negative prompt."""
        captions = model.captions([self._features.text(t).to(device) for t in ("", prompt)])
        sizes: dict[str, Tensor] = {}
        if model.config.use_additional_conditions:
            sizes = {
                "resolution": torch.full((2, 2), float(side), device=device),
                "aspect": torch.ones(2, 1, device=device),
            }
        start = noise(
            [seed], model.config.in_channels, side // self._folder.vae_scale, side // self._folder.vae_scale
        ).to(device)

        def predict(latents: Tensor, timestep: float) -> Tensor:
            both = torch.cat([latents, latents]).to(model.scale_shift_table.dtype)
            negative, positive = (
                model(both, torch.full((2,), timestep, device=device), captions, **sizes)[:, : latents.shape[1]]
                .float()
                .chunk(2)
            )
            guided: Tensor = negative + self._options.guidance * (positive - negative)
            return guided

        latents = denoise(
            predict,
            build_sampler("dpm++2m", self._options.steps, self._schedule, [seed], self._folder.scheduler_config),
            start,
        )
        with torch.autocast(device.type, enabled=False):
            image: Tensor = vae.decode(
                latents.float() / self._features.scale + self._features.shift, return_dict=False
            )[0][0]
        pixels: np.ndarray[Any, Any] = (
            (image / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        )
        return pixels


def draw_previews(
    painter: PreviewPainter, train_state: TrainState, step: int, processes: Processes, reporter: Reporter
) -> None:
    """Draw and report the previews of a step in the first process; every process must call it. A failure is a note."""

    def done(path: Path, prompt: str, seed: int) -> None:
        reporter.emit(events.Preview(step=step, path=str(path), prompt=prompt, seed=seed))

    try:
        with train_state.as_result():
            model = train_state.standalone_model()
            if model is not None:
                painter.draw(model, train_state.stepper, step, processes.device, done)
    except Exception as e:  # whatever it is, the run goes on
        reporter.note("No preview could be drawn: {why}", why=f"{type(e).__name__}: {e}"[:300])
