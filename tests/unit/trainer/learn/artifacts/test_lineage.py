"""A training result carries its chain: header, model card, bill of materials, attribution, gate report."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from engine.checkpoint.lora_header import told_by
from tests.support.tiny_models import make_lora
from trainer.learn.artifacts.lineage import Lineage, Source
from trainer.learn.artifacts.write import write_beside


def source(folder: Path, name: str = "和紙の絵", **licences: int) -> Source:
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "gate-report.json"
    report.write_text(json.dumps({"passed": True, "name": name}), encoding="utf-8")
    (folder / "ATTRIBUTION.md").write_text("# Attribution\n", encoding="utf-8")
    return Source(
        name=name,
        manifest_sha256=hashlib.sha256(name.encode()).hexdigest(),
        gate_report=report,
        attribution=folder / "ATTRIBUTION.md",
        gate_report_sha256=hashlib.sha256(report.read_bytes()).hexdigest(),
        pictures=sum(licences.values()),
        licences={k.replace("_", "-"): v for k, v in licences.items()},
        creators={"山田 | 花子": 3},
        policy="commercial",
    )


@pytest.fixture
def lineage(tmp_path: Path) -> Lineage:
    return Lineage(
        name="和風",
        kind="lora",
        base_model="commonart-mini",
        base_model_sha256="b" * 64,
        base_licence="Apache-2.0",
        sources=(source(tmp_path / "one", CC0_1x0=3), source(tmp_path / "two", "second", CC0_1x0=1, CC_BY_4x0=5)),
        config='{"kind": "lora"}',
        config_sha256="c" * 64,
        licence="CC-BY-4.0",
        trigger="和風の絵",
        steps=40,
        samples=160,
        facts={"held_out_loss": 0.125, "device": "cpu"},
    )


def test_the_header_leads_back(lineage: Lineage, tmp_path: Path) -> None:
    header = {k.removeprefix("commonart."): v for k, v in lineage.header().items()}
    file = make_lora(tmp_path / "x.safetensors", {"proj_out": (8, 8)}, told=header)
    told = told_by(file)
    assert told["licences"] == {"CC-BY-4x0": 5, "CC0-1x0": 4} and told["base_model_sha256"] == "b" * 64
    assert (
        told["dataset_sha256"]
        == hashlib.sha256(
            "".join(f"{s.manifest_sha256}\n" for s in sorted(lineage.sources, key=lambda s: s.manifest_sha256)).encode()
        ).hexdigest()
    )
    assert told["config_sha256"] == "c" * 64


def test_one_source_is_bound_by_its_own_hashes(lineage: Lineage, tmp_path: Path) -> None:
    from dataclasses import replace

    one = replace(lineage, sources=lineage.sources[:1])
    assert one.gate_report_sha256 == hashlib.sha256((tmp_path / "one" / "gate-report.json").read_bytes()).hexdigest()


def test_what_lies_beside(lineage: Lineage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    weights = make_lora(out / "和風.safetensors", {"proj_out": (8, 8)})
    names = sorted(p.name for p in write_beside(out, lineage, [weights]))
    assert names == [
        "ATTRIBUTION-2.md",
        "ATTRIBUTION.md",
        "README.md",
        "bom.cdx.json",
        "config.json",
        "gate-report-2.json",
        "gate-report.json",
    ]
    assert (out / "gate-report.json").read_bytes() == lineage.sources[0].gate_report.read_bytes()
    text = (out / "README.md").read_text(encoding="utf-8")
    head, body = text.split("---\n")[1:3]
    assert (
        "license: cc-by-4.0" in head
        and 'base_model: "commonart-mini"' in head
        and "base_model_relation: adapter" in head
    )
    assert "| CC-BY-4x0 | 5 |" in body and "b" * 64 in body and "和風.safetensors:1" in body and "0.125" in body


def test_the_bill_of_materials_is_valid(lineage: Lineage, tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    from trainer.learn.artifacts.bom import bill_of_materials

    file = make_lora(tmp_path / "x.safetensors", {"proj_out": (8, 8)})
    text = bill_of_materials(lineage, [file])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    data = json.loads(text)
    top = data["metadata"]["component"]
    assert (
        top["type"] == "machine-learning-model"
        and top["hashes"][0]["content"] == hashlib.sha256(file.read_bytes()).hexdigest()
    )
    assert top["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "held_out_loss", "value": "0.125"}
    ]
    parts = {c["bom-ref"]: c for c in data["components"]}
    assert parts["base"]["hashes"][0]["content"] == "b" * 64 and parts["data-0"]["type"] == "data"
    assert sorted(next(d["dependsOn"] for d in data["dependencies"] if d["ref"] == "result")) == [
        "base",
        "data-0",
        "data-1",
    ]
