"""Name and location of the bundled font, so that Japanese is rendered on a machine that has no Japanese font."""

FAMILY = "CommonArt Sans JP"
FILE = "fonts/CommonArtSansJP.otf"  # relative to the resources folder
