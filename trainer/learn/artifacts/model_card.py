"""The model card of a training result, in the Hugging Face form, in English and Japanese."""

from __future__ import annotations

import json
from pathlib import Path

from engine.contract.version import APP
from trainer.learn.artifacts.lineage import ATTRIBUTION, BOM, CONFIG, GATE_REPORT, Lineage

#: names that the Hugging Face hub uses for SPDX ids
_HUB_NAMES = {
    "Apache-2.0": "apache-2.0",
    "MIT": "mit",
    "CC0-1.0": "cc0-1.0",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-3.0": "cc-by-3.0",
    "CC-BY-2.0": "cc-by-2.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-SA-3.0": "cc-by-sa-3.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
    "OpenRAIL": "openrail",
    "BSD-3-Clause": "bsd-3-clause",
    "GPL-3.0-or-later": "gpl-3.0",
}
_KINDS = {
    "lora": ("A LoRA", "LoRA"),
    "full": ("A fine-tuned model", "追加学習したモデル"),
    "scratch": ("A model trained from scratch", "一から学習したモデル"),
}


def _front_matter(lineage: Lineage) -> list[str]:
    """YAML front matter; texts are written as JSON, which is valid YAML."""
    known = _HUB_NAMES.get(lineage.licence)
    lines = ["---", f"license: {known or 'other'}"]
    if not known and lineage.licence:
        lines.append(f"license_name: {json.dumps(lineage.licence)}")
    if lineage.base_model:
        lines += [
            f"base_model: {json.dumps(lineage.base_model, ensure_ascii=False)}",
            f"base_model_relation: {'adapter' if lineage.kind == 'lora' else 'finetune'}",
        ]
    tags = ["text-to-image", "pixart", "commonart", *(["lora"] if lineage.kind == "lora" else [])]
    lines += [
        "language: [ja, en]",
        f"library_name: {'peft' if lineage.kind == 'lora' else 'diffusers'}",
        "pipeline_tag: text-to-image",
        f"tags: [{', '.join(tags)}]",
    ]
    if lineage.trigger:
        lines.append(f"instance_prompt: {json.dumps(lineage.trigger, ensure_ascii=False)}")
    return [*lines, "---"]


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "| --- | --- |", *(f"| {a} | {b.replace('|', chr(92) + '|')} |" for a, b in rows if b)]


def _fact(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else str(value)


def model_card(lineage: Lineage, weights: list[Path]) -> str:
    """The text of ``README.md``. Nothing in it is guessed: what is unknown is left out."""
    english, japanese = _KINDS[lineage.kind]
    lines = [
        *_front_matter(lineage),
        f"# {lineage.name}",
        "",
        f"{english} trained with {APP}" + (f" on {lineage.base_model}." if lineage.base_model else "."),
        "",
        f"{APP} で作成した{japanese}です" + (f"(元のモデル:{lineage.base_model})。" if lineage.base_model else "。"),
        "",
    ]
    if lineage.kind == "lora":
        file = weights[0].name if weights else lineage.name
        lines += [
            "## Use / 使い方",
            "```",
            f'commonart generate "{lineage.trigger or "りんご"}" --lora {file}:1',
            "```",
            "",
        ]
    lines += [
        "## Where it came from / 由来",
        *_table(
            [
                ("base model / 元のモデル", lineage.base_model),
                ("its SHA-256", lineage.base_model_sha256),
                ("its licence", lineage.base_licence),
                ("dataset manifest SHA-256", lineage.dataset_sha256),
                ("gate report SHA-256", lineage.gate_report_sha256),
                ("config SHA-256", lineage.config_sha256),
                ("licence of this result", lineage.licence or "not stated / 記載なし"),
            ]
        ),
        "",
    ]
    lines += [
        "## Training images / 学習に使った画像",
        f"{sum(s.pictures for s in lineage.sources)} images / 点",
        "",
        "| licence | images |",
        "| --- | --- |",
        *(f"| {k} | {n} |" for k, n in lineage.licences.items()),
        "",
    ]
    for source in lineage.sources:
        creators = ", ".join(f"{name} ({count})" for name, count in list(source.creators.items())[:10])
        lines.append(
            f"- {source.name}: {source.pictures} images, checked under the policy “{source.policy}”. "
            f"Creators / 作者: {creators}"
        )
    lines += [
        "",
        f"Every image with title, author, source and licence: `{ATTRIBUTION}`. "
        f"The results of the licence check: `{GATE_REPORT}`.",
        f"画像ごとの題名・作者・出典・ライセンスは `{ATTRIBUTION}` に、検査の結果は `{GATE_REPORT}` にあります。",
        "",
        "A passed check means that the records are complete and allowed by that policy. "
        "It is neither legal advice nor a certificate.",
        "検査の合格は、記録がそろい方針に合うことを示すもので、法的な助言でも証明書でもありません。",
        "",
        "## Training / 学習",
        *_table(
            [
                ("steps", str(lineage.steps)),
                ("samples seen", str(lineage.samples)),
                *((k.replace("_", " "), _fact(v)) for k, v in lineage.facts.items()),
            ]
        ),
        "",
        f"The complete config: `{CONFIG}`. Bill of materials (CycloneDX): `{BOM}`.",
        "",
    ]
    return "\n".join(lines)
