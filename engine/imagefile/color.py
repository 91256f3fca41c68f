"""Colours as they are meant: by the ICC profile of a file."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

_SRGB = ImageCms.createProfile("sRGB")
_MAX_PROFILE = 4_000_000  # bytes; printers' profiles have some 2 MB


def to_srgb(image: Image.Image) -> Image.Image:
    """An image with an ICC profile as sRGB; one without a profile, or with a broken one, as it is."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= _MAX_PROFILE:
        return image
    wanted = {b"RGB ": ("RGB", "RGBA"), b"GRAY": ("L", "LA"), b"CMYK": ("CMYK",)}.get(profile[16:20], ())
    if image.mode in ("P", "PA") and profile[16:20] == b"RGB ":
        image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode not in wanted:
        return image
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    plain = image.convert(image.mode.removesuffix("A")) if alpha is not None else image
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if plain.mode == "RGB" and ImageCms.getProfileDescription(given).startswith("sRGB"):
            return image
        transform = ImageCms.buildTransform(
            given,
            _SRGB,
            plain.mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        made = ImageCms.applyTransform(plain, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    if made is None:
        return image
    if alpha is not None:
        made.putalpha(alpha)
    return made
