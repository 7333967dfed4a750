"""How much of the store's disk uploads may fill."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

# no space, the quota is used up, files may not become so large (as RLIMIT_FSIZE says)
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def disk_room(folder: Path, keep_free: int) -> int:
    """Bytes that may be written there, so that `keep_free` are left to others. Raises OSError."""
    disk = os.statvfs(folder)
    return max(0, disk.f_bavail * disk.f_frsize - keep_free)


def disk_is_full(error: BaseException) -> bool:
    """Whether that is why writing failed, or what the error was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return True
        cause = cause.__cause__
    return False
