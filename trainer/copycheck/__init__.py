"""Check whether images are copies of training images, or nearer to them than these are to each other."""
