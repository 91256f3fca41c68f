"""An evaluation in progress."""

from __future__ import annotations

from commonart_desktop.gui.pages.evaluate.run import EvaluateRun
from commonart_desktop.gui.widgets.run_view import RunView


class EvaluateRunView(RunView):
    """How many images are drawn and measured."""

    def show_progress(self, run: EvaluateRun) -> str:
        self.bar.setVisible(run.total > 0)  # without a total there is no progress to show
        self.bar.setRange(0, max(1, run.total))
        self.bar.setValue(run.done)
        if run.stopping:
            return self.tr("Stopping; what was drawn is kept…")
        if not run.total:
            return self.tr("Reading the model and what it is compared with…")
        if run.done < run.total:
            return self.tr("{done} of {total} images drawn or measured").format(done=run.done, total=run.total)
        return self.tr("Computing the figures and writing the report…")
