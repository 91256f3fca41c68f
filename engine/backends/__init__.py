"""What a backend offers; the folders beside this file keep the same file names.

``load.py`` has ``open_backend``; ``encode.py``, ``denoise.py`` and ``decode.py`` the stages it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from engine.backends.base import Backend
from engine.backends.factory import open_backend
from engine.backends.row_threads import RowThreads
from engine.checkpoint.layout import ModelFolder
from engine.checkpoint.lora import LoraFile
from engine.contract.errors import FeatureMissing, MissingLibrary, Phrase
from engine.contract.request import ImageRequest
from engine.contract.sampling_plan import SamplingPlan
from engine.sampling.schedule import Sampler
