"""Where a picture comes from: signed into the file when it is saved, read and checked afterwards."""
