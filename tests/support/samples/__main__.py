"""Makes the scans that the package ships: `python -m tests.support.samples`."""

from pathlib import Path

import ocrd
from tests.support.samples import write_samples

for sample in write_samples(Path(ocrd.__file__).parent / "samples"):
    print(sample.path.name, sample.path.stat().st_size)
