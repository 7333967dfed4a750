"""Writing TIFF."""
