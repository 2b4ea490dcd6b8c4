"""The console's own style sheets and its icon, served from wherever they stand beside the code that wants them."""

import os
from pathlib import Path

from starlette.staticfiles import StaticFiles

SOURCES = Path(__file__).parent

ICON_FILE = SOURCES / "static" / "icon.svg"

FILES = {file.name: file for file in (ICON_FILE, *SOURCES.rglob("*.css"))}
"""Every file by its name alone: a name stands once."""


class StyleSheets(StaticFiles):
    """Serves them by name and nothing else: a feature's folder holds its code too."""

    def __init__(self) -> None:
        super().__init__(directory=SOURCES)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the file of a name."""
        file = FILES.get(path)
        return (str(file), file.stat()) if file else ("", None)
