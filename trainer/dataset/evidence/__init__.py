"""What states a licence about an image, wherever it stands: columns, side files, REUSE, licence texts, the image file
itself.
"""
