"""A bill of materials (CycloneDX 1.6) for a training result: the model, its base model and its datasets.

The library writes the document; the model card in it, which the library does not support yet, is added to its JSON
(https://cyclonedx.org/docs/1.6/json/#components_items_modelCard).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.checkpoint.weights import sha256_file
from engine.contract.version import VERSION
from trainer.learn.artifacts.lineage import Lineage

RESULT = "result"


def _licences(expression: str) -> list[Any]:
    """The licence as an SPDX expression, or as a name if it is none."""
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(expression)] if expression else []


def bill_of_materials(lineage: Lineage, weights: list[Path]) -> str:
    """The text of ``bom.cdx.json``; the files ``weights`` are hashed."""
    from cyclonedx.model import HashAlgorithm, HashType, Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    def hashed(digest: str) -> list[HashType]:
        return [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []

    bom = Bom()
    result = Component(
        name=lineage.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=RESULT,
        licenses=_licences(lineage.licence),
        hashes=hashed(sha256_file(weights[0])) if len(weights) == 1 else [],
        properties=[
            Property(name="commonart:config_sha256", value=lineage.config_sha256),
            *(Property(name=f"commonart:file:{w.name}", value=sha256_file(w)) for w in weights),
        ],
    )
    bom.metadata.component = result
    bom.metadata.tools.components.add(
        Component(name="CommonArt Desktop", version=VERSION, type=ComponentType.APPLICATION)
    )
    parts = []
    if lineage.base_model:
        parts.append(
            Component(
                name=lineage.base_model,
                type=ComponentType.MACHINE_LEARNING_MODEL,
                bom_ref="base",
                licenses=_licences(lineage.base_licence),
                hashes=hashed(lineage.base_model_sha256),
            )
        )
    for n, source in enumerate(lineage.sources):
        parts.append(
            Component(
                name=source.name,
                type=ComponentType.DATA,
                bom_ref=f"data-{n}",
                hashes=hashed(source.manifest_sha256),
                licenses=_licences(
                    " AND ".join(f"({k})" if " " in k else k for k in sorted(source.licences) if k != "–")
                ),
                properties=[
                    Property(name="commonart:gate_report_sha256", value=source.gate_report_sha256),
                    Property(name="commonart:policy", value=source.policy),
                    Property(name="commonart:pictures", value=str(source.pictures)),
                    *(Property(name=f"commonart:licence:{k}", value=str(v)) for k, v in source.licences.items()),
                ],
            )
        )
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(result, parts)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(lineage)
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _model_card(lineage: Lineage) -> dict[str, Any]:
    approach = {"type": "supervised"}
    metrics = [
        {"type": k, "value": f"{v:.6g}"}
        for k, v in lineage.facts.items()
        if k.endswith("loss") and isinstance(v, (int, float))
    ]
    card: dict[str, Any] = {
        "modelParameters": {
            "approach": approach,
            "task": "text-to-image",
            "architectureFamily": "diffusion transformer",
            "modelArchitecture": "PixArt",
            "datasets": [{"ref": f"data-{n}"} for n in range(len(lineage.sources))],
            "inputs": [{"format": "text (ja, en)"}],
            "outputs": [{"format": "image"}],
        }
    }
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card
