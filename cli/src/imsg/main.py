"""The `imsg` command as it starts: nothing to be seen of a Ctrl-C while it loads."""

import sys

from imsg.loading import loading
from imsg_runtime.watchdog import watch


def main() -> None:
    """Load the command and run it; the server in a child that is watched."""
    if sys.argv[1:2] == ["up"]:
        watch()  # before anything is loaded: the parent stays small
    with loading():
        from imsg.command import main as run  # noqa: PLC0415  what takes long to load is loaded here

    run()


if __name__ == "__main__":
    main()
