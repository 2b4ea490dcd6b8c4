"""The migrations of all services at once, before one of them is replaced (`imsg migrate`)."""

import asyncio
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sqlalchemy import URL

from imsg.table_owners import TABLE_OWNERS
from imsg_database.address import read_url
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for_database
from imsg_runtime.settings import StartError

SERVICE = "{service}"
"""The placeholder of the service's name in a URL."""


def migrate_all(url: str, folder: Path) -> Iterator[str]:
    """Migrate each owner's tables to this version, and yield its name afterwards. Raises StartError.

    In the URL, {service} is the owner's name, and another {NAME} the secret of that name in the folder.
    """
    for owner in TABLE_OWNERS:
        address = find_url(url, owner.name, folder)
        asyncio.run(wait_for_database(partial(migrate, address, owner.migrations)))
        yield owner.name


def find_url(template: str, service: str, folder: Path) -> URL:
    """Return where a service's database is, with the secrets that the template names. Raises StartError."""

    def read(match: re.Match[str]) -> str:
        try:
            return (folder / match[1]).read_text().strip()
        except OSError as error:
            raise StartError("the secret {0} can't be read: {1}.", folder / match[1], error.strerror) from error

    return read_url(re.sub(r"\{(\w+)\}", read, template.replace(SERVICE, service)))
