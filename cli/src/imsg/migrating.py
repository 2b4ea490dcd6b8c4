"""The migrations of all services at once, before one of them is replaced (`imsg migrate`)."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from imsg_database.address import read_url
from imsg_database.migrate import Migrations, migrate
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.settings import StartError

OWNERS = ("auth", "history", "callbacks", "catalog", "scheduler", "wechat")
"""The services with tables."""


def migrate_all(url: str, folder: Path) -> Iterator[str]:
    """Bring each owner's tables up to this version, and yield its name when they are. Raises StartError.

    In the URL, {service} is the owner's name, and another {NAME} the secret of that name in the folder.
    """
    for owner in OWNERS:
        migrations: Migrations = import_module(f"imsg_{owner}.migrations").MIGRATIONS
        try:
            migrate(read_url(_fill(url.replace("{service}", owner), folder)), migrations)
        except DatabaseUnavailable as error:
            raise StartError(f"the tables of {owner} can't be migrated: {error}.") from error
        yield owner


def _fill(url: str, folder: Path) -> str:
    def read(match: re.Match[str]) -> str:
        try:
            return (folder / match[1]).read_text().strip()
        except OSError as error:
            raise StartError(f"the secret {folder / match[1]} can't be read: {error.strerror}.") from error

    return re.sub(r"\{(\w+)\}", read, url)
