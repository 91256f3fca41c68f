"""Layouts of model folders: a pipeline, a bare denoiser (as CommonArt β) with parts from elsewhere, an ONNX export."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoint.config_files import read_config
from engine.checkpoint.onnxfile import GRAPH, MANIFEST, graph_files, graph_sha256
from engine.checkpoint.weights import part_sha256, weight_files
from engine.contract.errors import BadFile, MissingPart, NotAModel, Phrase, WrongTokenizer

DENOISERS = ("PixArtTransformer2DModel", "Transformer2DModel")
#: the number of caption tokens that the families were trained with. PixArt-α 120, PixArt-Σ 300, CommonArt β 512.
MAX_TOKENS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json")


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A model with all its parts. Folders are absolute; ``scheduler`` may be absent."""

    root: Path
    name: str
    layout: str  # "pipeline", "bare" or "onnx"
    denoiser: Path
    text_encoder: Path
    tokenizer: Path
    vae: Path
    scheduler: Path | None
    max_tokens: int
    pixart_text: bool  # T5 pipelines strip captions and convert them to lower case

    @property
    def denoiser_config(self) -> dict[str, Any]:
        return read_config(self.denoiser / "config.json")

    @property
    def vae_config(self) -> dict[str, Any]:
        return read_config(self.vae / "config.json")

    @property
    def text_config(self) -> dict[str, Any]:
        return read_config(self.text_encoder / "config.json")

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """Empty where none is shipped: CommonArt β uses the samplers' defaults."""
        return read_config(self.scheduler / "scheduler_config.json") if self.scheduler else {}

    @property
    def vae_scale(self) -> int:
        """Image pixels per latent pixel, on each side."""
        return int(2 ** (len(self.vae_config.get("block_out_channels", [1, 1, 1, 1])) - 1))

    @property
    def multiple(self) -> int:
        """Image sides must be multiples of this."""
        return self.vae_scale * int(self.denoiser_config.get("patch_size", 2))

    @property
    def own_side(self) -> int:
        """The side in pixels that the model was trained at."""
        return self.vae_scale * int(self.denoiser_config.get("sample_size", 64))

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each part; the encoder's covers its config and tokenizer too, since they change the features."""
        of_part = graph_sha256 if self.layout == "onnx" else part_sha256
        encoder = hashlib.sha256(of_part(self.text_encoder).encode())
        for file in [
            self.text_encoder / "config.json",
            *(self.tokenizer / n for n in (*TOKENIZER_FILES, "tokenizer_config.json")),
        ]:
            if file.is_file():
                encoder.update(file.read_bytes())
        encoder.update(f"{self.max_tokens} {self.pixart_text}".encode())
        return {"denoiser": of_part(self.denoiser), "text_encoder": encoder.hexdigest(), "vae": of_part(self.vae)}


def _is(path: Path, what: Callable[[Path], bool]) -> bool:
    """``what(path)``; false for a name that no disk can store."""
    try:
        return what(path)
    except (OSError, ValueError):
        return False


def _encoder_folders(given: Path) -> tuple[Path, Path]:
    """(encoder, tokenizer) in a language model's folder or a pipeline's."""
    encoder = given / "text_encoder" if (given / "text_encoder" / "config.json").is_file() else given
    for tokenizer in (given / "tokenizer", given, given.parent / "tokenizer"):
        if any((tokenizer / n).is_file() for n in TOKENIZER_FILES):
            return encoder, tokenizer
    raise WrongTokenizer(path=given, why=Phrase("there is no tokenizer.json"))


def _vae_folder(given: Path) -> Path:
    return given / "vae" if (given / "vae" / "config.json").is_file() else given


def _check_part(folder: Path, what: str, classes: tuple[str, ...]) -> None:
    config = read_config(folder / "config.json")
    found = config.get("_class_name", "?")
    if classes and found not in classes:
        raise NotAModel(path=folder, why=Phrase("its {part} is a {found}", part=what, found=found))
    weight_files(folder)


def identify(
    root: Path, *, text_encoder: Path | None = None, vae: Path | None = None, name: str | None = None
) -> ModelFolder:
    """Find every part of the model in ``root``; given parts override those inside.

    Raises:
        NotAModel, MissingPart, NeedsConversion, BrokenWeights, WrongTokenizer: each names the folder.
    """
    root = root.absolute()
    if not _is(root, Path.is_dir):
        raise BadFile(
            path=root,
            why=Phrase("there is no such folder") if not _is(root, Path.exists) else Phrase("it is not a folder"),
        )
    for part in (text_encoder, vae):
        if part is not None and not _is(part, Path.is_dir):
            raise BadFile(path=part, why=Phrase("there is no such folder"))
    index = root / "model_index.json"
    pipeline = ""
    scheduler = None
    if is_export(root):
        return _identify_export(root, text_encoder or vae, name)
    if index.is_file():
        pipeline = str(read_config(index).get("_class_name", ""))
        denoiser = root / "transformer"
        if not denoiser.is_dir():
            raise NotAModel(
                path=root, why=Phrase("it has no transformer folder; only PixArt-like models can be loaded")
            )
        if text_encoder is None and (root / "text_encoder").is_dir():
            text_encoder = root
        if vae is None and (root / "vae").is_dir():
            vae = root
        if (root / "scheduler" / "scheduler_config.json").is_file():
            scheduler = root / "scheduler"
    elif (root / "config.json").is_file() and read_config(root / "config.json").get("_class_name") in DENOISERS:
        denoiser = root
    else:
        raise NotAModel(path=root, why=Phrase("there is no model_index.json and no PixArt config.json"))
    _check_part(denoiser, "transformer", DENOISERS)
    if text_encoder is None:
        raise MissingPart(path=root, part=Phrase("text encoder"), option="--text-encoder")
    if vae is None:
        raise MissingPart(path=root, part="VAE", option="--vae")
    encoder, tokenizer = _encoder_folders(text_encoder.absolute())
    vae = _vae_folder(vae.absolute())
    _check_part(encoder, "text encoder", ())
    for part in (denoiser, encoder, vae):
        if (part / "adapter_config.json").exists():  # transformers would load it silently, and no hash would cover it
            raise NotAModel(
                path=part, why=Phrase("it holds an adapter (adapter_config.json); merge it into the weights first")
            )
    _check_part(vae, "VAE", ("AutoencoderKL",))
    t5 = read_config(encoder / "config.json").get("model_type") in ("t5", "umt5")
    return ModelFolder(
        root=root,
        name=name or root.name,
        layout="pipeline" if index.is_file() else "bare",
        denoiser=denoiser,
        text_encoder=encoder,
        tokenizer=tokenizer,
        vae=vae,
        scheduler=scheduler,
        max_tokens=_max_tokens(pipeline, t5, tokenizer),
        pixart_text=t5,
    )


def is_export(root: Path) -> bool:
    """Whether the denoiser in ``root`` is an ONNX graph, without weights beside it."""
    folder = root / "transformer"
    return (
        (root / "model_index.json").is_file() and (folder / GRAPH).is_file() and not any(folder.glob("*.safetensors"))
    )


def _identify_export(root: Path, other: Path | None, name: str | None) -> ModelFolder:
    """A folder written by ``commonart export`` or optimum. Its parts belong together and cannot be replaced."""
    if other is not None:
        raise NotAModel(
            path=other, why=Phrase("the parts of an exported model are fixed; give it to commonart export instead")
        )
    for part, what, classes in (
        ("transformer", "transformer", DENOISERS),
        ("text_encoder", "text encoder", ()),
        ("vae_decoder", "VAE", ("AutoencoderKL",)),
    ):
        found = read_config(root / part / "config.json").get("_class_name", "?")
        if classes and found not in classes:
            raise NotAModel(path=root / part, why=Phrase("its {part} is a {found}", part=what, found=found))
        graph_files(root / part)
    if not (root / "tokenizer" / "tokenizer.json").is_file():
        raise WrongTokenizer(path=root / "tokenizer", why=Phrase("there is no tokenizer.json"))
    t5 = read_config(root / "text_encoder" / "config.json").get("model_type") in ("t5", "umt5")
    max_tokens = read_config(root / MANIFEST).get("max_tokens") if (root / MANIFEST).is_file() else None
    if not isinstance(max_tokens, int) or not 1 <= max_tokens <= 1 << 16:
        max_tokens = _max_tokens(
            str(read_config(root / "model_index.json").get("_class_name", "")), t5, root / "tokenizer"
        )
    return ModelFolder(
        root=root,
        name=name or root.name,
        layout="onnx",
        denoiser=root / "transformer",
        text_encoder=root / "text_encoder",
        tokenizer=root / "tokenizer",
        vae=root / "vae_decoder",
        max_tokens=max_tokens,
        pixart_text=t5,
        scheduler=root / "scheduler" if (root / "scheduler" / "scheduler_config.json").is_file() else None,
    )


def _max_tokens(pipeline: str, t5: bool, tokenizer: Path) -> int:
    if t5:
        return MAX_TOKENS.get(pipeline, 300)
    # A language model's pipeline has its own limit in the tokenizer's config, if that is a sane one.
    limit = None
    if (tokenizer / "tokenizer_config.json").is_file():
        limit = read_config(tokenizer / "tokenizer_config.json").get("model_max_length")
    return min(limit, 512) if isinstance(limit, int) and limit > 0 else 512
