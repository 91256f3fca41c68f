"""The version, in the one place that says it."""

VERSION = "0.1.0"
APP = f"CommonArt Desktop {VERSION}"
