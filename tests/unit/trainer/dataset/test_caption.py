"""Captioning with tiny random models of the four kinds, from local folders in transformers' own layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.contract.errors import BadValue, NoCaptioner
from tests.support.images import make_dataset
from trainer.dataset.__main__ import work
from trainer.dataset.caption import Captioning, caption_folder
from trainer.dataset.captioner import FAMILIES, family_of
from trainer.dataset.records import FILE, read_records, write_records

WORDS = {"en": [f"word{n}" for n in range(40)], "ja": [chr(0x4E00 + n) for n in range(40)]}
SPECIAL = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<image>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]


def make_tokenizer(folder: Path, language: str, **names: str) -> Any:
    """Every word is one token; nothing but special tokens and words of one language can be written."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [*SPECIAL, *WORDS[language]]
    core = Tokenizer(models.WordLevel({t: n for n, t in enumerate(tokens)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=names or SPECIAL[4:],
    )
    made.save_pretrained(folder)
    return made


def _talkative(model: Any) -> Any:
    """Random weights large enough for different pictures to matter, and an end that is never chosen."""
    torch.manual_seed(0)
    for p in model.parameters():
        p.data = torch.randn_like(p) * 0.2
    head = model.get_output_embeddings()
    if head is not None and getattr(head, "bias", None) is None:
        head.weight.data[: len(SPECIAL)] = 0
        head.weight.data[len(SPECIAL) :] += 0.05
    model.generation_config.eos_token_id = None
    model.generation_config.forced_eos_token_id = None
    return model


def make_florence(folder: Path, language: str) -> None:
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration, Florence2Processor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = make_tokenizer(folder, language, image_token="<image>")
    size = len(tokenizer)
    config = Florence2Config(
        vision_config={
            "depths": [1, 1, 1, 1],
            "embed_dim": [8, 8, 8, 8],
            "num_heads": [1, 1, 1, 1],
            "num_groups": [1, 1, 1, 1],
            "window_size": 2,
            "projection_dim": 16,
            "max_temporal_embeddings": 4,
            "max_position_embeddings": 10,
        },
        text_config=BartConfig(
            vocab_size=size,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            max_position_embeddings=128,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
        ).to_dict(),
        image_token_id=4,
    )
    model = _talkative(Florence2ForConditionalGeneration(config))
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5  # (64 / 32)² places and one for all of them
    processor = Florence2Processor(images, tokenizer, post_processor_config={"ocr": {"PATTERN": ""}})
    processor.save_pretrained(folder)


def make_blip2(folder: Path, language: str) -> None:
    from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2Processor, OPTConfig
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    tokenizer = make_tokenizer(folder, language)
    text = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        ffn_dim=16,
        num_attention_heads=2,
        max_position_embeddings=64,
        word_embed_proj_dim=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    config = Blip2Config(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        qformer_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "encoder_hidden_size": 16,
            "vocab_size": 20,
        },
        text_config=text.to_dict(),
        num_query_tokens=3,
        image_token_index=4,
    )
    _talkative(Blip2ForConditionalGeneration(config)).save_pretrained(folder)
    Blip2Processor(
        BlipImageProcessorPil(size={"height": 28, "width": 28}), tokenizer, num_query_tokens=3
    ).save_pretrained(folder)


def make_llava(folder: Path, language: str) -> None:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    tokenizer = make_tokenizer(folder, language, image_token="<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=28,
            patch_size=14,
            projection_dim=16,
        ).to_dict(),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=256,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ).to_dict(),
        image_token_index=4,
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    _talkative(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    ).save_pretrained(folder)


def make_qwen(folder: Path, language: str) -> None:
    from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    tokenizer = make_tokenizer(folder, language)
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
        },
        vision_config={
            "depth": 1,
            "embed_dim": 16,
            "hidden_size": 16,
            "num_heads": 2,
            "mlp_ratio": 1,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=9,
        video_token_id=10,
        vision_start_token_id=7,
        vision_end_token_id=8,
    )
    _talkative(Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=28 * 28 * 9).save_pretrained(folder)


MAKERS: dict[str, Callable[[Path, str], None]] = {
    "florence2": make_florence,
    "blip-2": make_blip2,
    "llava": make_llava,
    "qwen2_vl": make_qwen,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Makes each model once."""
    root = tmp_path_factory.mktemp("captioners")

    def get(kind: str, language: str = "en") -> Path:
        folder = root / f"tiny-{kind}-{language}"
        if not folder.exists():
            MAKERS[kind](folder, language)
        return folder

    return get


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Three pictures without captions."""
    from dataclasses import replace

    folder = make_dataset(tmp_path / "set", 3, size=64)
    write_records(folder, [replace(r, text=(), text_ja=(), caption_origin="") for r in list(read_records(folder))])
    return folder


Models = Callable[[str, str], Path]


@pytest.mark.parametrize("kind", MAKERS)
def test_english_captions_are_written_and_marked(bare: Path, models: Models, kind: str) -> None:
    model = models(kind, "en")
    done = caption_folder(bare, Captioning(model=model, languages=("en",), max_tokens=4, device="cpu", batch_size=2))
    rows = list(read_records(bare))
    assert done.written == 3 and all(r.text[0].startswith("word") and not r.text_ja for r in rows)
    assert (
        {r.caption_origin for r in rows} == {done.model}
        and done.model.startswith(f"machine:tiny-{kind}-en@")
        and len(done.model.split("@")[1]) == 12
    )
    one = caption_folder(bare, Captioning(model=model, languages=("en",), max_tokens=4, device="cpu", overwrite=True))
    assert one.written == 3 and [r.text for r in read_records(bare)] == [
        r.text for r in rows
    ]  # a picture's neighbours change nothing


def test_japanese_by_qwen_and_what_people_wrote_stays(bare: Path, models: Models) -> None:
    from dataclasses import replace

    model = models("qwen2_vl", "ja")
    first, *rest = list(read_records(bare))
    write_records(
        bare,
        [
            replace(first, text=("by hand",), text_ja=("手で",), caption_origin="human"),
            replace(rest[0], text=("hand",), caption_origin="human"),
            rest[1],
        ],
    )
    asked = Captioning(model=model, languages=("ja",), max_tokens=3, device="cpu")
    done = caption_folder(bare, asked)
    rows = list(read_records(bare))
    assert (done.written, done.kept) == (2, 1) and rows[0].text_ja == ("手で",) and rows[0].caption_origin == "human"
    assert (
        rows[1].origin("en") == "human" and rows[1].origin("ja") == done.model and rows[2].caption_origin == done.model
    )
    again = caption_folder(bare, asked)
    assert (again.written, again.kept) == (0, 3)
    assert (
        caption_folder(
            bare, Captioning(model=model, languages=("ja",), max_tokens=3, device="cpu", overwrite=True)
        ).written
        == 3
    )
    assert next(iter(read_records(bare))).text_ja != ("手で",)


def test_what_comes_in_the_wrong_language_is_not_written(bare: Path, models: Models) -> None:
    done = caption_folder(
        bare, Captioning(model=models("qwen2_vl", "ja"), languages=("en",), max_tokens=3, device="cpu")
    )
    assert done.written == 0 and done.skipped.count == 3 and not any(r.text for r in read_records(bare))


def test_models_that_know_english_only_say_so(bare: Path, models: Models) -> None:
    done = caption_folder(bare, Captioning(model=models("florence2", "en"), max_tokens=3, device="cpu"))
    assert done.written == 3 and "English only" in done.notes[0] and not any(r.text_ja for r in read_records(bare))
    with pytest.raises(NoCaptioner, match="English only"):
        caption_folder(bare, Captioning(model=models("blip-2", "en"), languages=("ja",)))


def test_a_run_that_is_stopped_keeps_what_it_wrote_and_goes_on(
    bare: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Captioning(model=models("florence2", "en"), languages=("en",), max_tokens=3, device="cpu")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        caption_folder(bare, asked, progress=stop)
    assert [bool(r.text) for r in read_records(bare)] == [True, True, False]
    seen: list[tuple[int, int]] = []
    done = caption_folder(bare, asked, progress=lambda a, b: seen.append((a, b)))
    assert (done.written, done.kept) == (1, 2) and seen == [(1, 1)] and all(r.text for r in read_records(bare))


def test_rows_changed_meanwhile_stay_changed(bare: Path, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    def edit(done: int, total: int) -> None:
        if done == 1:
            write_records(
                bare,
                [
                    replace(r, title="edited", text=("mine",) if n == 2 else r.text)
                    for n, r in enumerate(list(read_records(bare)))
                ],
            )

    caption_folder(
        bare, Captioning(model=models("florence2", "en"), languages=("en",), max_tokens=3, device="cpu"), progress=edit
    )
    rows = list(read_records(bare))
    assert all(r.title == "edited" for r in rows) and rows[2].text == ("mine",) and rows[0].text[0].startswith("word")


def test_broken_pictures_are_left_out(bare: Path, models: Models) -> None:
    name = next(iter(read_records(bare))).file_name
    (bare / name).write_bytes(b"no")
    done = caption_folder(
        bare, Captioning(model=models("blip-2", "en"), languages=("en",), max_tokens=3, device="cpu", batch_size=2)
    )
    assert done.written == 2 and done.skipped.count == 1


def test_without_a_model_it_says_what_to_get(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(NoCaptioner) as e:
        caption_folder(bare, Captioning())
    assert "Qwen2-VL" in e.value.advice
    for files, why in (
        ({}, "no config.json"),
        ({"config.json": "{"}, "not JSON"),
        ({"config.json": '{"model_type": "llama"}'}, "'llama'"),
        ({"config.json": '{"model_type": "florence2", "auto_map": {}}', "pytorch_model.bin": "x"}, "safetensors"),
        ({"config.json": '{"model_type": "florence2"}', "model.safetensors": "x"}, "transformers cannot load it"),
    ):
        folder = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
        with pytest.raises(NoCaptioner, match=why):
            caption_folder(bare, Captioning(model=folder, languages=("en",)))
    with pytest.raises(BadValue):
        caption_folder(bare, Captioning(model=tmp_path, batch_size=0))


def test_the_program_answers_in_json(bare: Path, models: Models, capsys: pytest.CaptureFixture[str]) -> None:
    assert {family_of(models(k, "en"))[0] for k in MAKERS} == set(FAMILIES)
    answer = work(
        ["caption", str(bare), "--model", str(models("florence2", "en")), "--device", "cpu", "--max-tokens", "3"]
    )
    assert (
        answer["written"] == 3
        and "English only" in answer["notes"][0]["template"].replace("{family}", "")
        and json.dumps(answer)
    )
    assert '{"progress": 3, "total": 3}' in capsys.readouterr().err
    assert (bare / FILE).is_file()
