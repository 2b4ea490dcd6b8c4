"""Serves the console's style sheets and its icon, which are beside the code that uses them."""

import os
from pathlib import Path

from starlette.staticfiles import StaticFiles

SOURCES = Path(__file__).parent

ICON_FILE = SOURCES / "static" / "icon.svg"

FILES = {file.name: file for file in (ICON_FILE, *SOURCES.rglob("*.css"))}
"""Name → file; each name is unique."""


class StyleSheets(StaticFiles):
    """Serves these files by name, and no other file of their folders."""

    def __init__(self) -> None:
        super().__init__(directory=SOURCES)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the file of a name."""
        file = FILES.get(path)
        return (str(file), file.stat()) if file else ("", None)
