"""The `imsg` command as it starts: nothing to be seen of a Ctrl-C while it loads."""

from imsg.loading import loading


def main() -> None:
    """Load the command and run it."""
    with loading():
        from imsg.command import main as run  # noqa: PLC0415  what takes long to load is loaded here

    run()


if __name__ == "__main__":
    main()
