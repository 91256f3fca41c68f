"""Small files for the cases: images with something in them, tables, archives."""

from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, PngImagePlugin

from tests.support.images import COLOURS, SHAPES, draw

BY = "https://creativecommons.org/licenses/by/4.0/"
NC = "https://creativecommons.org/licenses/by-nc/4.0/"
Files = dict[str, bytes]


def picture(seed: int, size: int = 48) -> Image.Image:
    """A drawing; another seed gives one that is no look-alike."""
    rng = random.Random(seed)
    colour = rng.choice(list(COLOURS.values()))[1]
    return draw(rng.choice(list(SHAPES)), colour, (240, 240, 240), size=size, style="plain", rng=rng)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(seed: int, texts: Mapping[str, str] | None = None, **options: Any) -> bytes:
    """A PNG, with text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in (texts or {}).items():
        info.add_itxt(key, text) if key == "XML:com.adobe.xmp" else info.add_text(key, text)
    return encoded(picture(seed), pnginfo=info, **options)


def png_with_late_text(seed: int, key: str, text: str) -> bytes:
    """The text stands behind the pixels."""
    data = png(seed)
    body = b"tEXt" + key.encode() + b"\0" + text.encode("latin-1")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    end = data.index(b"IEND") - 4
    return data[:end] + chunk + data[end:]


def jpeg(seed: int, **options: Any) -> bytes:
    """A JPEG; ``exif`` may be a mapping of tags."""
    if isinstance(options.get("exif"), dict):
        exif = Image.Exif()
        exif.update(options["exif"])
        options["exif"] = exif.tobytes()
    return encoded(picture(seed), "JPEG", **options)


def iptc(notice: str) -> bytes:
    """Photoshop's segment with an IPTC copyright notice, to be put behind a JPEG's start."""
    text = notice.encode()
    record = b"\x1c\x02\x74" + struct.pack(">H", len(text)) + text
    block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record + b"\0" * (len(record) % 2)
    body = b"Photoshop 3.0\0" + block
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def xmp(inner: str) -> str:
    """An XMP packet with these properties."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://creativecommons.org/ns#"'
        f' xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/">{inner}</rdf:Description></rdf:RDF></x:xmpmeta>'
    )


def adobe_like() -> bytes:
    """An ICC profile whose colours are wider than sRGB's: the same curves, primaries of its own."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for number in range(struct.unpack(">I", profile[128:132])[0]):
        tag, offset, _ = struct.unpack(">4sII", profile[132 + 12 * number : 144 + 12 * number])
        if tag == b"gXYZ":  # Adobe RGB's green
            values = (0.20528, 0.62567, 0.06087)
            profile[offset + 8 : offset + 20] = struct.pack(">3i", *(round(v * 65536) for v in values))
        elif tag == b"rXYZ":
            values = (0.60974, 0.31111, 0.01947)
            profile[offset + 8 : offset + 20] = struct.pack(">3i", *(round(v * 65536) for v in values))
        elif tag == b"desc":
            profile[offset : offset + 200] = profile[offset : offset + 200].replace(b"s\0R\0G\0B", b"w\0i\0d\0e")
    return bytes(profile)


def lines(*rows: Mapping[str, Any]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode()


def tar(*members: tuple[str, bytes], mode: str = "w") -> bytes:
    """A tar archive, members in the order given."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def parquet(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A Parquet table. Needs pyarrow."""
    import pyarrow
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(r) for r in rows]), out)
    return out.getvalue()


def write(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """The files below ``root``."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def user_comment(text: str) -> bytes:
    """A JPEG whose only text is EXIF's UserComment."""
    image = Image.new("RGB", (32, 32), (90, 120, 40))
    exif = image.getexif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + text.encode()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()
