"""Whole searches for unreachable cycles come in a turn of their own."""

from __future__ import annotations

import gc
import weakref

from PySide6.QtCore import QObject

from commonart_desktop.gui.shell import gc_timer


class Loop:
    """Unreachable as soon as nobody else holds it, and only a search can tell."""

    def __init__(self) -> None:
        self.me = self


def test_whole_searches_come_from_the_timer_only(qtbot: object) -> None:
    before, owner = gc.get_threshold(), QObject()
    keeper = gc_timer.GcTimer(owner)
    try:
        gc.collect()
        old = weakref.ref(one := Loop())
        gc.collect(1)
        gc.collect(1)  # now of the oldest generation
        del one
        for _ in range(gc_timer.THRESHOLD + 2):
            gc.collect(1)
        many = [[n] for n in range(200_000)]  # by itself Python would have searched everything by now
        assert old() is not None and len(many)
        assert gc.get_count()[2] >= gc_timer.THRESHOLD
        keeper.check()
        assert old() is None
    finally:
        keeper.stop()
        owner.deleteLater()
    assert gc.get_threshold() == before
