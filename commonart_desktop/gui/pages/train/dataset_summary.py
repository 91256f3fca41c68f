"""What a dataset folder contains, in one line, and the outcome of its check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from PySide6.QtCore import QLocale, QObject


class DatasetTexts(QObject):
    """Sentences about a dataset in the user's language."""

    def contents(self, records: Collection[dict[str, Any]], total: int) -> str:
        """Images, licences, creators and captions; empty for an empty dataset."""
        if not total:
            return ""
        number = QLocale().toString
        parts = [
            self.tr("{count} images").format(count=number(total)),
            self.tr("licences: {list}").format(list=self._most_common(records, "license")),
            self.tr("creators: {list}").format(list=self._most_common(records, "creator")),
            self.tr("captions: English {en}, Japanese {ja}").format(
                en=number(sum(1 for r in records if r.get("text"))),
                ja=number(sum(1 for r in records if r.get("text_ja"))),
            ),
        ]
        return "  ·  ".join(parts)

    @staticmethod
    def _most_common(records: Collection[dict[str, Any]], key: str) -> str:
        number = QLocale().toString
        counts = Counter(str(r.get(key) or "–") for r in records)
        shown = counts.most_common(4)
        more = len(counts) - len(shown)
        return ", ".join(f"{name} {number(n)}" for name, n in shown) + (f", +{number(more)}" if more > 0 else "")

    def outcome(self, passed: bool | None, report: dict[str, Any], *, stale: bool) -> str:
        """Of the last check; empty while there is none."""
        if passed is None:
            return self.tr("Changed since the check: check again.") if stale else ""
        text = (
            self.tr("The check passed, with {warnings} warning(s).")
            if passed
            else self.tr("The check refuses this folder: {blocking} reason(s), {warnings} warning(s).")
        )
        number = QLocale().toString
        return text.format(blocking=number(report["blocking"]), warnings=number(report["warnings"]))
