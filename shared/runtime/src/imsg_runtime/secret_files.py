"""Secrets of containers: `{NAME}` in a setting is replaced by the content of the file NAME.

So a secret is in no image, no compose file and no `docker inspect`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path("/run/imsg")
"""The secrets of a container; those of services that share one are in folders of their names."""

_NAMED = re.compile(r"\{(\w+)\}")


def fill(value: str, folder: Path = FOLDER) -> str:
    """Replace each {NAME} by the secret of that name; braces that name none stay as they are."""

    def read(match: re.Match[str]) -> str:
        file = folder / match[1]
        return file.read_text().strip() if file.is_file() else match[0]

    return _NAMED.sub(read, value)


def fill_own(environment: Mapping[str, str], service: str, folder: Path = FOLDER) -> dict[str, str]:
    """Return the environment of one of the services that share a container.

    Its secrets are in the folder of its name, and {service} is that name. A setting that names a secret which the
    service does not have is another's, and is left out.
    """
    own = folder / service
    settings = {name: value for name, value in environment.items() if name.startswith("IMSG_")}
    filled = {
        name: fill(value, own).replace("{service}", service)
        for name, value in settings.items()
        if all(named == "service" or (own / named).is_file() for named in _NAMED.findall(value))
    }
    return {name: value for name, value in environment.items() if name not in settings} | filled
