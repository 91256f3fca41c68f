"""The side of diffusers, in a process of its own: ``PixArtSigmaPipeline`` as its documentation recommends.

Batched, under ``torch.inference_mode``, with the attention PyTorch chooses; captions of a language model are padded to
the model's length and masked, as CommonArt β's authors run it; files are written by Pillow's ``image.save``. Reads one
JSON object per line (prompts, seeds, out, batch) and answers with one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.system.json_program import own_stdout

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class Diffusers:
    """The pipeline over one model folder."""

    def __init__(self, folder: ModelFolder, device: str, dtype: str, compiled: bool) -> None:
        import torch
        from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
        from transformers import AutoModel, AutoTokenizer, T5EncoderModel

        self.folder, self.device = folder, device
        kind: Any = getattr(torch, DTYPES[dtype])
        transformer = PixArtTransformer2DModel.from_pretrained(
            folder.denoiser, torch_dtype=kind, local_files_only=True, use_safetensors=True
        )
        vae = AutoencoderKL.from_pretrained(folder.vae, torch_dtype=kind, local_files_only=True, use_safetensors=True)
        loader: Any = T5EncoderModel if folder.pixart_text else AutoModel
        self.encoder = (
            loader.from_pretrained(folder.text_encoder, dtype=kind, local_files_only=True, use_safetensors=True)
            .eval()
            .to(device)
        )
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder.tokenizer, local_files_only=True)
        if compiled:
            transformer = torch.compile(transformer)
        scheduler = (
            DPMSolverMultistepScheduler.from_pretrained(folder.scheduler, local_files_only=True)
            if folder.scheduler
            else DPMSolverMultistepScheduler()
        )
        self.pipe: Any = PixArtSigmaPipeline(
            tokenizer=None, text_encoder=None, vae=vae, transformer=transformer, scheduler=scheduler
        ).to(device)
        self.pipe.set_progress_bar_config(disable=True)

    def encode(self, texts: list[str]) -> tuple[Any, Any]:
        """(states ``[n, max, channels]``, mask ``[n, max]``), padded to the model's length."""
        if self.folder.pixart_text:
            texts = [t.lower().strip() for t in texts]
        tokens = self.tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.folder.max_tokens, return_tensors="pt"
        ).to(self.device)
        # an empty caption under a tokenizer without special tokens: as the authors' program does it
        if not bool(tokens.attention_mask.any(dim=1).all()):
            tokens.attention_mask[~tokens.attention_mask.any(dim=1)] = 1
        states = self.encoder(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
        return states, tokens.attention_mask

    def round(self, prompts: list[str], seeds: list[int], out: Path, batch: int, settings: dict[str, Any]) -> float:
        """Generate all prompts; returns the seconds from the texts to the last file."""
        import torch

        began = time.perf_counter()
        with torch.inference_mode():
            for start in range(0, len(prompts), batch):
                some = prompts[start : start + batch]
                states, mask = self.encode(some)
                negative, negative_mask = self.encode([""])
                images = self.pipe(
                    prompt=None,
                    negative_prompt=None,
                    prompt_embeds=states,
                    prompt_attention_mask=mask,
                    negative_prompt_embeds=negative.expand(len(some), -1, -1),
                    negative_prompt_attention_mask=negative_mask.expand(len(some), -1),
                    num_inference_steps=settings["steps"],
                    guidance_scale=settings["guidance"],
                    height=settings["height"],
                    width=settings["width"],
                    use_resolution_binning=False,
                    generator=[torch.Generator("cpu").manual_seed(s) for s in seeds[start : start + batch]],
                ).images
                for n, image in enumerate(images):
                    image.save(out / f"{start + n:05d}.png")
        return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine.bench.theirs")
    parser.add_argument("model")
    parser.add_argument("--text-encoder")
    parser.add_argument("--vae")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    answers = own_stdout()
    pipe = Diffusers(open_model(args.model, args.text_encoder, args.vae), args.device, args.dtype, args.compile)
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        order = json.loads(line)
        seconds = pipe.round(order["prompts"], order["seeds"], Path(order["out"]), order["batch"], order["settings"])
        answers.write(json.dumps({"seconds": seconds}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
