"""Names of an adapter's tensors: which layer, which kind of adapter, which of its factors.

Read are the names that PEFT, diffusers (old and new), kohya's scripts, OneTrainer, LyCORIS and ComfyUI write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

#: the name's part between the layer and ``.weight`` -> (kind, factor); kind "" goes with every kind
FACTORS: dict[str, tuple[str, str]] = {
    "lora_A": ("lora", "down"),
    "lora_B": ("lora", "up"),
    "lora_down": ("lora", "down"),
    "lora_up": ("lora", "up"),
    "lora_mid": ("lora", "mid"),
    "lora.down": ("lora", "down"),
    "lora.up": ("lora", "up"),
    "lora_linear_layer.down": ("lora", "down"),
    "lora_linear_layer.up": ("lora", "up"),
    "lora_magnitude_vector": ("lora", "magnitude"),
    **{f"hada_{n}": ("loha", n) for n in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f"lokr_{n}": ("lokr", n) for n in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")},
    "alpha": ("", "alpha"),
    "dora_scale": ("", "dora_scale"),
}
LONGEST = 300  # characters of a layer's name, beyond any trainer's
_KEY = re.compile(
    r"(?P<layer>.+?)\.(?P<factor>"
    + "|".join(map(re.escape, sorted(FACTORS, key=len, reverse=True)))
    + r")(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.weight)?"
)
# diffusers' attention processors, up to 0.20: attn1.processor.to_q_lora.down.weight
_PROCESSOR = re.compile(
    r"(?P<stem>.+)\.processor\.(?P<leaf>to_q|to_k|to_v|to_out)_lora\.(?P<factor>down|up)(?:\.weight)?"
)
_WRAPPER = re.compile(r"\b(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
#: what stands before a layer's own name, in any order and number
_PREFIX = re.compile(
    r"(?:(?:base_model|model|transformer(?!_blocks)|diffusion_model|unet|module|lora|lycoris|denoiser|dit|pipe)[._])*"
)


class Key(NamedTuple):
    """One tensor's name, read. ``adapter`` is PEFT's name of the adapter, where the file keeps it."""

    layer: str
    kind: str
    factor: str
    adapter: str = ""


def read_key(name: str) -> Key | None:
    """The parts of a tensor's name, or None where it is not one of an adapter that is known here."""
    if len(name) > LONGEST + 100:
        return None
    found = _PROCESSOR.fullmatch(name)
    if found:
        return Key(f"{found['stem']}.{found['leaf']}", "lora", found["factor"])
    found = _KEY.fullmatch(name)
    if found is None:
        return None
    return Key(found["layer"], *FACTORS[found["factor"]], found["adapter"] or "")


class LayerNames:
    """The layers of one model, found again under the names that trainers give them."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._names: dict[str, str] = {}
        for module in modules:
            for name in (module, module.removesuffix(".0")) if module.endswith(".to_out.0") else (module,):
                self._names[name] = self._names[name.replace(".", "_")] = module

    def find(self, layer: str) -> str | None:
        """The model's own name of ``layer``, without what trainers put before it.

        None if the model has no such layer.
        """
        layer = _WRAPPER.sub("", layer)
        if len(layer) > LONGEST:
            return None
        for at in (0, *(n + 1 for n, sign in enumerate(layer) if sign in "._")):
            if layer[at:] in self._names and _PREFIX.fullmatch(layer, 0, at):
                return self._names[layer[at:]]
        return None


def bare(layer: str) -> str:
    """A layer's name without the prefixes that are known, for a sentence."""
    plain = _WRAPPER.sub("", layer)
    found = _PREFIX.match(plain)
    return plain[found.end() :] if found and found.end() < len(plain) else plain
