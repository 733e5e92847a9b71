"""What a page worker needs it has before its first file: a servant lives for one file only."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import io, sys
import ocrd.imaging
from PIL import Image

before = set(sys.modules)
for name in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "JPEG2000"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, name)
    with Image.open(file, formats=ocrd.imaging.FORMATS) as image:
        image.load()
print(*sorted(name for name in set(sys.modules) - before if "Plugin" in name))
"""


def test_no_format_is_loaded_with_the_first_file_of_its_kind() -> None:
    loaded = subprocess.check_output([sys.executable, "-c", SCRIPT], text=True)
    assert loaded.split() == []
