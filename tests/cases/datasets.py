"""All cases of data sets."""

from __future__ import annotations

from tests.cases import captions, images, licences
from tests.cases.case import Case

CASES: dict[str, Case] = licences.CASES | captions.CASES | images.CASES
