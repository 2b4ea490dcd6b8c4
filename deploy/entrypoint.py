"""Puts a container's secrets into its settings, then watches what it was asked to run.

A setting may hold `{NAME}`: the content of /run/imsg/NAME stands there when the service reads it.
So a secret is in no image, no compose file and no `docker inspect`.
"""

import os
import re
import sys
from pathlib import Path

from imsg_runtime.watchdog import watch

SECRETS = Path("/run/imsg")


def fill(value: str) -> str:
    """Replace each {NAME} by the secret of that name; braces that name none stay as they are."""

    def secret(match: re.Match[str]) -> str:
        file = SECRETS / match[1]
        return file.read_text().strip() if file.is_file() else match[0]

    return re.sub(r"\{(\w+)\}", secret, value)


def main(command: list[str]) -> None:
    """Run the command with IMSG_ settings filled in, as the child of this process."""
    settings = {name: fill(value) for name, value in os.environ.items() if name.startswith("IMSG_")}
    watch()
    os.execvpe(command[0], command, os.environ | settings)  # noqa: S606  the child becomes the service


if __name__ == "__main__":
    main(sys.argv[1:])
