"""Content Credentials: signed into an image when it is saved, read and verified afterwards."""
