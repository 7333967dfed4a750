"""TIFF: the structure and the tiles of files that are read, and the files that are written."""
