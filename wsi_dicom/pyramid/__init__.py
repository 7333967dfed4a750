"""Building coarser levels from a finer one, in one pass, in memory that does not grow with the slide.

The unit of work is a block: 2^n x 2^n tiles of the finest level. A worker decodes a block, another halves it n times
and encodes the tiles of all n levels. A row of blocks is a band; its tiles are kept, encoded, until the band is
complete, and then written row by row. Levels coarser than n grow from rows of pixels of level n.

No tile is decoded twice, and the result does not depend on the blocks but for the rounding of a smoothed value: tests
compare it with the whole picture.
"""

from wsi_dicom.pyramid.builder import build_pyramid

__all__ = ["build_pyramid"]
