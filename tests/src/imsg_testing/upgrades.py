"""A service's migrations as an older version had them."""

import shutil
import tempfile
from pathlib import Path


def older_steps(folder: Path, last: str) -> Path:
    """Copy the steps up to one into a folder of their own."""
    older = Path(tempfile.mkdtemp(prefix="imsg-steps-"))
    for step in sorted(folder.glob("*[0-9]*.py")):
        if "".join(filter(str.isdigit, step.stem))[:4] <= last:
            shutil.copy(step, older)
    return older
