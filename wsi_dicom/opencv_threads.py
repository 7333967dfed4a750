"""How many threads OpenCV has: none beside ours, wherever several of ours call it."""

from __future__ import annotations

import threading
from typing import Final


class _OneThreadInOpenCv:
    """While anybody is within, OpenCV has no threads of its own: ours, which call it, would only be in their way.

    They take a tenth of the time of a rebuild. To import it takes 0.04 s, which those who only copy are spared.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._threads = threading.Lock(), 0, 1

    def __enter__(self) -> None:
        import cv2

        with self._lock:
            if not self._users:
                self._threads = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        import cv2

        with self._lock:
            self._users -= 1
            if not self._users:
                cv2.setNumThreads(self._threads)


one_thread_in_opencv: Final = _OneThreadInOpenCv()
"""One for the process, as the number of OpenCV's threads is."""
