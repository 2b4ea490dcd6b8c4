"""`python -m imsg_auth reset-password NAME`, inside a container of the service, which has its settings."""

import argparse
import asyncio
import getpass
import sys

from imsg_auth.main import Settings, reset_password
from imsg_contract.errors import Refusal
from imsg_runtime.settings import StartError, load


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m imsg_auth", description="Users of iMSG, on the server itself.")
    reset = parser.add_subparsers(required=True).add_parser(
        "reset-password", help="set a password, from standard input; ends every token of the user"
    )
    reset.add_argument("username")
    username = parser.parse_args().username
    password = getpass.getpass("New password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    try:
        asyncio.run(reset_password(load(Settings), username, password))
    except StartError as error:
        print(f"imsg: {error}", file=sys.stderr)  # noqa: T201  a command
        return 2
    except Refusal as refusal:
        print(f"imsg: {refusal.answer(english=True)['detail']}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{username} has a new password; every token of theirs has ended.")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
