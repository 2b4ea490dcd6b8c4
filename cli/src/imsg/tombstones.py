"""Where the tombstones of a data folder stand: beside it, so that they outlive it when a copy takes its place."""

import os
from pathlib import Path

from imsg_people.tombstones import append_to, read_from
from imsg_runtime.settings import StartError

NAME = "tombstones"

COPY_OF = "copy-of"
"""In a copy that `imsg backup` made: the data folder it is a copy of."""


def beside(folder: Path) -> Path:
    """Name the file of a data folder's tombstones: `data.tombstones`, or inside where nothing can be put beside."""
    folder = folder.resolve()
    outside = folder.with_name(f"{folder.name}.{NAME}")
    if outside.exists() or os.access(folder.parent, os.W_OK):
        return outside
    return folder / NAME


def bring(folder: Path) -> None:
    """Let a copy know who was erased in the folder it is a copy of since it was made. Raises StartError."""
    origin = folder / COPY_OF
    if not origin.exists():
        return
    try:
        theirs, ours = beside(Path(origin.read_text().strip())), beside(folder)
        if theirs == ours:
            return
        known = {stone.id for stone in read_from(ours)}
        append_to(ours, [stone for stone in read_from(theirs) if stone.id not in known])
    except OSError as error:
        raise StartError(
            f"the tombstones of who was erased can't be taken over ({error}); correct the rights of the file."
        ) from error
