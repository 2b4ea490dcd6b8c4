"""Search files, and the SQLite databases among them, for words."""

import sqlite3
from contextlib import closing
from pathlib import Path


def search(folder: Path, *needles: str) -> list[str]:
    """Search the files of a folder, and the dumps of its SQLite files, for words in any case; return the hits."""
    wanted = [needle.lower().encode() for needle in needles]
    places = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        try:
            raw = file.read_bytes().lower()
        except FileNotFoundError:  # a server has just replaced it
            continue
        places += [f"{file.name}: {needle.decode()}" for needle in wanted if needle in raw]
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as opened:
                dump = "\n".join(opened.iterdump()).lower().encode()
            places += [f"dump of {file.name}: {needle.decode()}" for needle in wanted if needle in dump]
    return places
