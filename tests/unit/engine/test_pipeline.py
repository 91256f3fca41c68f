"""From words to pixels, against diffusers' own pipelines on the same files.

And what --deterministic and --like rely on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.backends.pytorch.backend import TorchBackend
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.library import open_model
from engine.contract.errors import BadValue
from engine.contract.request import ImageRequest
from engine.pipeline import decode, denoise_batch, encode, settle
from tests.support.tiny_models import make_commonart, make_pipeline

KINDS = ("llama", "sigma", "alpha", "commonart")
#: words of unequal token counts, of both languages; T5 pipelines make them small and strip them
PROMPTS = ("青い背景の寿司", " Red APPLE, on blue background ", "cat", "ねこ、りんご、ねこ on a red background")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFolder]:
    base = tmp_path_factory.mktemp("kinds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONART_HOME", str(base / "home"))
        # PixArt-α conditions on the size only in diffusers where sample_size is 128
        found = {
            k: open_model(str(make_pipeline(base / k, k, **({"sample_size": 128} if k == "alpha" else {}))))
            for k in ("llama", "sigma", "alpha")
        }
        root, encoder, vae = make_commonart(base / "bare")
        found["commonart"] = open_model(str(root), str(encoder), str(vae))
    return found


@pytest.fixture(scope="module")
def backends(
    folders: dict[str, ModelFolder], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], TorchBackend]:
    made: dict[str, TorchBackend] = {}
    base = tmp_path_factory.mktemp("home")

    def get(kind: str) -> TorchBackend:
        if kind not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("COMMONART_HOME", str(base))
                made[kind] = TorchBackend(folders[kind], device="cpu", dtype="fp32")
        return made[kind]

    return get


class Reference:
    """diffusers' pipeline on the parts of one folder."""

    def __init__(self, folder: ModelFolder, kind: str, scheduler: str = "DPMSolverMultistepScheduler") -> None:
        import diffusers
        from transformers import AutoModel, AutoTokenizer, T5EncoderModel

        diffusers.utils.logging.set_verbosity_error()
        self.folder, self.t5 = folder, kind in ("sigma", "alpha")
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder.tokenizer)
        self.encoder: Any = (
            (T5EncoderModel if self.t5 else AutoModel).from_pretrained(folder.text_encoder, dtype=torch.float32).eval()
        )
        cls = diffusers.PixArtAlphaPipeline if kind == "alpha" else diffusers.PixArtSigmaPipeline
        self.pipe: Any = cls(
            tokenizer=self.tokenizer if self.t5 else None,
            text_encoder=self.encoder if self.t5 else None,
            vae=diffusers.AutoencoderKL.from_pretrained(folder.vae),
            scheduler=getattr(diffusers, scheduler)(beta_start=1e-4, beta_end=0.02),
            transformer=diffusers.PixArtTransformer2DModel.from_pretrained(folder.denoiser),
        )
        self.pipe.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def states(self, text: str) -> tuple[Tensor, Tensor]:
        """As CommonArt's authors do: padded to the full length, masked, the last hidden state."""
        batch = self.tokenizer(
            text, padding="max_length", truncation=True, max_length=self.folder.max_tokens, return_tensors="pt"
        )
        return self.encoder(
            batch.input_ids, attention_mask=batch.attention_mask
        ).last_hidden_state, batch.attention_mask

    def __call__(self, r: ImageRequest, output_type: str = "pil") -> Any:
        words: dict[str, Any]
        if self.t5:
            words = {"prompt": r.prompt, "negative_prompt": r.negative, "clean_caption": False}
        else:
            states, mask = self.states(r.prompt)
            no, no_mask = self.states(r.negative)
            words = {
                "prompt": None,
                "negative_prompt": None,
                "prompt_embeds": states,
                "prompt_attention_mask": mask,
                "negative_prompt_embeds": no,
                "negative_prompt_attention_mask": no_mask,
            }
        made = self.pipe(
            **words,
            num_inference_steps=r.steps,
            guidance_scale=r.guidance,
            height=r.height,
            width=r.width,
            use_resolution_binning=False,
            generator=torch.Generator().manual_seed(r.seed),
            output_type=output_type,
        ).images[0]
        return made if output_type == "latent" else np.asarray(made)


def psnr(a: Any, b: Any) -> float:
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def ask(seed: int, prompt: str = PROMPTS[0], **settings: Any) -> ImageRequest:
    return ImageRequest(prompt=prompt, seed=seed, **{"width": 40, "height": 24, "steps": 8} | settings)


def make(backend: TorchBackend, requests: Sequence[ImageRequest]) -> tuple[Tensor, Any]:
    settled = [settle(r, backend.folder) for r in requests]
    latents = denoise_batch(backend, settled, encode(backend, settled))
    return latents, decode(backend, latents)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_equal_diffusers(
    kind: str, folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend]
) -> None:
    """Three in one batch, of different words, seeds and guidance, against diffusers one at a time."""
    reference, backend = Reference(folders[kind], kind), backends(kind)
    requests = [
        ask(0, PROMPTS[0], guidance=4.5),
        ask(1, PROMPTS[1], guidance=2.0, negative="red"),
        ask(2**40, PROMPTS[2], guidance=7),
    ]
    latents, pixels = make(backend, requests)
    for i, request in enumerate(requests):
        want = reference(request)
        assert want.shape == pixels[i].shape == (24, 40, 3)
        assert want.std() > 5, "the image has something to compare"
        assert psnr(pixels[i], want) >= 50
        close = reference(request, "latent")
        assert float((latents[i] - close).abs().max() / close.abs().max()) < 1e-3
    assert psnr(pixels[0], pixels[1]) < 30


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": 1.0},
        {"width": 32, "height": 32, "steps": 2},
        {"width": 16, "height": 64, "steps": 20},
        {"negative": PROMPTS[3]},
    ],
    ids=str,
)
def test_settings_equal_diffusers(
    kind: str, settings: dict[str, Any], folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend]
) -> None:
    request = ask(77, PROMPTS[3], **settings)
    assert psnr(make(backends(kind), [request])[1][0], Reference(folders[kind], kind)(request)) >= 50


@pytest.mark.parametrize("prompt", ["", "りんご " * 200], ids=["empty", "too long"])
@pytest.mark.parametrize("kind", KINDS)
def test_captions_at_the_edges_equal_diffusers(
    kind: str, prompt: str, folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend]
) -> None:
    request = ask(5, prompt, negative="cat")
    backend = backends(kind)
    assert psnr(make(backend, [request])[1][0], Reference(folders[kind], kind)(request)) >= 50
    assert backend.encode([prompt])[prompt].cut == bool(prompt)


def test_commonart_empty_negative_is_the_padding_of_the_reference(
    folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend]
) -> None:
    """calm2's tokenizer adds no marks: nothing is left of an empty caption but its padding, all of it attended to."""
    reference, backend = Reference(folders["commonart"], "commonart"), backends("commonart")
    assert not reference.tokenizer("")["input_ids"]
    states, mask = reference.states("")
    assert mask.sum() == 0
    feature = backend.encode([""])[""]
    assert feature.tokens == folders["commonart"].max_tokens == states.shape[1]
    torch.testing.assert_close(feature.states, states[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("sampler", "scheduler"), [("euler-a", "EulerAncestralDiscreteScheduler"), ("euler", "EulerDiscreteScheduler")]
)
def test_other_samplers_equal_diffusers(
    sampler: str, scheduler: str, folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend]
) -> None:
    reference = Reference(folders["llama"], "llama", scheduler)
    requests = [ask(3, sampler=sampler), ask(4, PROMPTS[1], sampler=sampler)]
    _, pixels = make(backends("llama"), requests)
    for i, request in enumerate(requests):
        assert psnr(pixels[i], reference(request)) >= 50


def test_every_setting_is_seen(backends: Callable[[str], TorchBackend]) -> None:
    base = ask(1)
    first = make(backends("llama"), [base])[1][0]
    for change in (
        {"seed": 2},
        {"prompt": "cat"},
        {"negative": "cat"},
        {"guidance": 6.0},
        {"steps": 9},
        {"sampler": "ddim"},
        {"guidance": 1.0},
    ):
        assert not np.array_equal(make(backends("llama"), [dataclasses.replace(base, **change)])[1][0], first), change


def test_size_of_its_own_and_sizes_that_do_not_fit(backends: Callable[[str], TorchBackend]) -> None:
    folder = backends("llama").folder
    assert folder.own_side == 32
    own = settle(ImageRequest(prompt="cat", seed=1), folder)
    assert (own.width, own.height) == (32, 32)
    with pytest.raises(BadValue, match="multiple of 8") as e:
        settle(ImageRequest(prompt="cat", seed=1, width=36, height=32), folder)
    assert e.value.fields["name"] == "width"
    assert "near" in e.value.fields["why"].fields


@pytest.mark.parametrize("kind", ["llama", "commonart", "alpha"])
def test_a_row_made_alone_never_changes(
    kind: str, folders: dict[str, ModelFolder], backends: Callable[[str], TorchBackend], own_home: Path
) -> None:
    """``--deterministic``: the same bytes whatever was made before, with stored features or fresh ones."""
    backend, request = backends(kind), ask(9, PROMPTS[1], deterministic=True)
    latents, pixels = make(backend, [request])
    for others in (
        [ask(1)],
        [ask(2, p) for p in PROMPTS],
        [ask(3, width=16, height=64), ask(9, PROMPTS[1], width=16, height=64)],
        [ask(9, PROMPTS[1], sampler="euler-a")],
    ):
        make(backend, others)
        again, same = make(backend, [request])
        assert torch.equal(again, latents)
        assert np.array_equal(same, pixels)
    fresh = TorchBackend(folders[kind], device="cpu", dtype="fp32")  # this test's own home: nothing is stored yet
    again, same = make(fresh, [request])
    assert torch.equal(again, latents)
    assert np.array_equal(same, pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings", [{}, {"guidance": 1.0}, {"sampler": "dpm++2m-sde"}, {"width": 16, "height": 16}], ids=str
)
def test_a_row_is_replayed_among_copies_of_itself(
    kind: str, settings: dict[str, Any], backends: Callable[[str], TorchBackend]
) -> None:
    """``--like``: (size, index) is all that a row needs of its old batch, as ``engine.worker.local`` replays it."""
    backend = backends(kind)
    requests = [ask(20 + i, p, **settings) for i, p in enumerate((*PROMPTS, PROMPTS[0]))]
    requests.sort(key=lambda r: backend.encode([r.prompt])[r.prompt].tokens)
    latents, pixels = make(backend, requests)
    for index, request in enumerate(requests):
        copies = [request] * len(requests)
        again = denoise_batch(backend, copies, encode(backend, copies))[index : index + 1]
        assert torch.equal(again[0], latents[index])
        assert np.array_equal(decode(backend, again)[0], pixels[index])


def test_tiled_decoding_is_close(backends: Callable[[str], TorchBackend]) -> None:
    """What is tried where a whole picture does not fit: nearly the same picture, and no lasting change."""
    backend = backends("llama")
    latents, pixels = make(backend, [ask(1, width=96, height=64)])
    assert psnr(backend.decode(latents, tiled=True), pixels) > 15
    assert np.array_equal(backend.decode(latents), pixels)


def test_where_memory_is_tight_only_the_part_at_work_is_on_the_device(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of moves, on the CPU: the devices are the same here, so the calls are watched."""
    backend = TorchBackend(open_model(str(tiny_model)))
    moved: list[str] = []
    for name in ("_denoiser", "_vae"):
        part = getattr(backend, name)
        monkeypatch.setattr(part, "to", lambda device, name=name, part=part: moved.append(f"{name} {device}") or part)
    request = settle(ImageRequest(prompt="x", seed=1, steps=1, model=str(tiny_model)), backend.folder)
    before = decode(backend, denoise_batch(backend, [request], encode(backend, [request])))
    assert moved == [] and not backend.tight
    backend.tight = True
    after = decode(backend, denoise_batch(backend, [request], encode(backend, [request])))
    assert moved == ["_vae cpu", "_denoiser cpu", "_denoiser cpu", "_vae cpu"] and (before == after).all()
