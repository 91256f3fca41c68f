"""One image of the gallery, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GalleryImage:
    """What a tile of the thumbnail grid shows."""

    id: int
    path: str
    mtime: int  # nanoseconds since 1970
    size: int
    rating: int
    starred: bool
    prompt: str  # its first 500 characters
