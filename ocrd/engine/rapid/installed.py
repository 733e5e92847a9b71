"""What of RapidOCR is installed, found out without importing it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from ocrd.errors import EngineSetupError

PACKAGES = ("rapidocr", "onnxruntime", "numpy", "cv2")
HINT = "Install what it needs: pip install 'ocrd-daemon[cpu]'"


def missing(packages: Sequence[str] = PACKAGES) -> EngineSetupError | None:
    """The error if a package is missing, else None."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return EngineSetupError(
        f"The embedded engine needs packages that are not installed: {', '.join(absent)}.",
        hint=HINT,
        kind="packages-missing",
    )


def model() -> str:
    """Name of the models and version of the package, `PP-OCRv6 (rapidocr 3.10.0)`."""
    found = importlib.util.find_spec("rapidocr")
    if found is None or found.origin is None:
        return "rapidocr (not installed)"
    names = {path.name.split("_")[0] for path in models(Path(found.origin)).glob("*_rec_*.onnx")}
    return f"{' '.join(sorted(names))} (rapidocr {metadata.version('rapidocr')})"


def models(package: Path) -> Path:
    """The folder of the models, from the package's `__init__.py`."""
    return package.parent / "models"
