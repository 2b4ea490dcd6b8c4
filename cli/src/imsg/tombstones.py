"""The tombstones of a data folder: a file beside it, which stays when a backup replaces the folder."""

import os
from pathlib import Path

from imsg_people.tombstones import append_to_file, read_file
from imsg_runtime.settings import StartError

NAME = "tombstones"

COPY_OF = "copy-of"
"""The file in a backup that names the data folder it was made of."""


def find_file(folder: Path) -> Path:
    """Return the file of a folder's tombstones: `data.tombstones`, or one inside where the parent is read-only."""
    folder = folder.resolve()
    outside = folder.with_name(f"{folder.name}.{NAME}")
    if outside.exists() or os.access(folder.parent, os.W_OK):
        return outside
    return folder / NAME


def copy_newer(folder: Path) -> None:
    """Copy into a backup the tombstones that its original folder got since the backup. Raises StartError."""
    origin = folder / COPY_OF
    if not origin.exists():
        return
    try:
        theirs, ours = find_file(Path(origin.read_text().strip())), find_file(folder)
        if theirs == ours:
            return
        known = {stone.id for stone in read_file(ours)}
        append_to_file(ours, [stone for stone in read_file(theirs) if stone.id not in known])
    except OSError as error:
        raise StartError(
            "the tombstones of erased addresses can't be taken over ({0}); correct the rights of the file.", error
        ) from error
