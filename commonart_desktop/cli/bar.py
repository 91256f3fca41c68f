"""Progress on standard error: tqdm's bar, or, in a slim installation without it, nothing but the notes around it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm
else:
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:

        class tqdm:
            """As much of tqdm as the commands use, drawing a count only where somebody watches."""

            def __init__(self, total: Any = None, desc: str = "", disable: bool | None = False, **_: Any) -> None:
                self.total, self.n, self.desc = total, 0, desc
                self._shown = not disable and sys.stderr.isatty()

            def update(self, count: float = 1) -> None:
                self.n += count
                if self._shown:
                    print(
                        f"\r{self.desc} {self.n}{f'/{self.total}' if self.total else ''} ",
                        end="",
                        file=sys.stderr,
                        flush=True,
                    )

            def clear(self) -> None:
                if self._shown:
                    print("\r\x1b[2K", end="", file=sys.stderr)

            def refresh(self) -> None:
                self.update(0)

            def close(self) -> None:
                if self._shown:
                    print(file=sys.stderr)
                    self._shown = False

            def reset(self, total: Any = None) -> None:
                self.n, self.total = 0, total

            def set_description(self, desc: str = "", refresh: bool = True) -> None:
                self.desc = desc

            set_description_str = set_description

            def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
                pass

            def write(self, s: str, file: Any = None, **_: Any) -> None:
                print(s, file=file or sys.stderr)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.close()


__all__ = ["tqdm"]
