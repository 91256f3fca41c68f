"""Weights, gradients and moments sharded over all devices (FSDP2), for a model that does not fit on one of them.

Enabled by ``device.sharding = "fsdp2"`` or an accelerate file whose ``distributed_type`` is FSDP. Zhao et al.,
"PyTorch FSDP" (arXiv 2304.11277); per parameter as in ``torch.distributed.fsdp.fully_shard``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from torch import nn

from engine.contract.errors import BadValue, Phrase
from trainer.config import Config
from trainer.learn.trainable import TrainableDenoiser


def _fsdp_option(name: str) -> str:
    return os.environ.get(f"FSDP_{name}", "").lower()


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """Options of FSDP2.

    ``reshard``: a block's gathered weights are freed after its forward pass and gathered again for its backward pass.
    """

    on: bool = False
    reshard: bool = True
    checkpointing: bool = False

    @classmethod
    def of(cls, config: Config, dtype: str) -> Sharding:
        """The options of the configuration and of accelerate's launcher combined.

        Raises:
            BadValue: an option that this trainer does not support.
        """
        launched = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
        if not launched and config.device.sharding != "fsdp2":
            return cls()

        def wrong(name: str, value: str, why: Phrase) -> BadValue:
            return BadValue(name=name, value=value, why=why)

        if launched and _fsdp_option("VERSION") not in ("2", ""):
            raise wrong(
                "fsdp_version", _fsdp_option("VERSION"), Phrase("only FSDP2 is used here: write fsdp_version: 2")
            )
        if launched and _fsdp_option("OFFLOAD_PARAMS") == "true":
            raise wrong(
                "fsdp_offload_params",
                "true",
                Phrase("weights stay on the devices; use more devices or device.checkpointing"),
            )
        if config.kind == "lora":
            raise wrong("device.sharding", "fsdp2", Phrase("a LoRA has little to share out: use ddp"))
        if config.optimiser.name != "adamw":
            raise wrong("device.sharding", "fsdp2", Phrase("with fsdp2 the optimiser must be adamw"))
        if dtype == "fp16":
            raise wrong("device.dtype", "fp16", Phrase("with fsdp2 compute in bf16 or fp32"))
        return cls(
            on=True,
            reshard=not launched or _fsdp_option("RESHARD_AFTER_FORWARD") not in ("false", "no_shard", "shard_grad_op"),
            checkpointing=launched and _fsdp_option("ACTIVATION_CHECKPOINTING") == "true",
        )


def shard(model: TrainableDenoiser, device: str, world: int, *, reshard: bool) -> None:
    """Shard every parameter over ``world`` devices; those of a block are gathered only while it runs.

    The keys and values of the captions are computed before the blocks run (``packed_captions``), so those two layers
    are sharded separately.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (world,))

    def cut(module: nn.Module) -> None:
        fully_shard(module, mesh=mesh, reshard_after_forward=reshard)

    for block in model.dit.transformer_blocks:
        cut(block.attn2.to_k)  # type: ignore[union-attr,arg-type]
        cut(block.attn2.to_v)  # type: ignore[union-attr,arg-type]
        cut(block)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)
