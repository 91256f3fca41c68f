"""Pictures to files: names, metadata, and writes that are whole or not there."""
