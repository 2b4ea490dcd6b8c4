"""Traces of a person: where files, and what SQLite holds in them, have a word of theirs."""

import sqlite3
from contextlib import closing
from pathlib import Path


def search(folder: Path, *needles: str) -> list[str]:
    """Search every file of a folder for words, whatever their case, raw and dumped; name what holds one."""
    wanted = [needle.lower().encode() for needle in needles]
    places = []
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        raw = file.read_bytes().lower()
        places += [f"{file.name}: {needle.decode()}" for needle in wanted if needle in raw]
        if file.suffix == ".db":
            with closing(sqlite3.connect(file)) as opened:
                dump = "\n".join(opened.iterdump()).lower().encode()
            places += [f"dump of {file.name}: {needle.decode()}" for needle in wanted if needle in dump]
    return places
