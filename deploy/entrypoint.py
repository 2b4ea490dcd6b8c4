"""Puts a container's secrets into its settings, then watches what it was asked to run."""

import os
import sys

from imsg_runtime.secret_files import fill
from imsg_runtime.watchdog import watch


def main(command: list[str]) -> None:
    """Run the command with IMSG_ settings filled in, as the child of this process."""
    settings = {name: fill(value) for name, value in os.environ.items() if name.startswith("IMSG_")}
    watch()
    os.execvpe(command[0], command, os.environ | settings)  # noqa: S606  the child becomes the service


if __name__ == "__main__":
    main(sys.argv[1:])
