"""A reader of the console's that a test holds up, in whatever process it runs."""

import time
from collections.abc import Iterator
from pathlib import Path


def read_when_opened(content: bytes, gate: str) -> Iterator[int]:
    """Yield the length of the content once the file `gate` is there."""
    while not Path(gate).exists():
        time.sleep(0.02)
    yield len(content)
