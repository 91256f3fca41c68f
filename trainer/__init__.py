"""Training on licensed images. Runs as its own process; the engine never imports it."""

import os
import sys

# ``python -m`` puts the folder that it is started in before everything else: nothing there is ours to import
if (
    sys.argv[:1] == ["-m"]
    and not sys.flags.safe_path
    and __name__ in {word.partition(".")[0] for word in sys.orig_argv}
    and sys.path[:1] != [os.path.dirname(__path__[0])]  # noqa: PTH120  (pathlib could be one of those)
):
    del sys.path[0]
