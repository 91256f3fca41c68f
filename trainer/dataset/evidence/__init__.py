"""Licence statements about an image from every source.

Sources are table columns, side files, REUSE documents, licence texts and the image file itself.
"""
