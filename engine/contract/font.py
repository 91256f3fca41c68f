"""The font that is shipped, so that Japanese is drawn on a machine that has no Japanese font: what it is called and where it lies."""

FAMILY = "CommonArt Sans JP"
FILE = "fonts/CommonArtSansJP.otf"  # below the folder of resources
