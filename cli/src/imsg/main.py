"""The start of the `imsg` command."""

import sys

from imsg.loading import loading
from imsg_runtime.watchdog import watch


def main() -> None:
    """Load the command and run it; `imsg up` runs in a child process that its parent watches."""
    if sys.argv[1:2] == ["up"]:
        watch()  # before anything is loaded: the parent stays small
    with loading():
        from imsg.command import main as run  # noqa: PLC0415  what takes long to load is loaded here

    run()


if __name__ == "__main__":
    main()
