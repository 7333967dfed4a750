"""The official validator of the IIIF Image API with what its 1.0.5 lost on the way to Python 3.

Its tests of JPEG 2000 and PDF call `urllib.urlopen` of Python 2, and `magic` as the package filemagic had it, while it
depends on python-magic. Started as a program, with the validator's own options.
"""

from __future__ import annotations

import runpy
import sys
import urllib.request
from pathlib import Path

import magic

if __name__ == "__main__":
    urllib.urlopen = urllib.request.urlopen
    magic.Magic.__enter__ = lambda self: self
    magic.Magic.__exit__ = lambda *_: None
    magic.Magic.id_buffer = magic.Magic.from_buffer
    runpy.run_path(str(Path(sys.executable).parent / "iiif-validate.py"), run_name="__main__")
