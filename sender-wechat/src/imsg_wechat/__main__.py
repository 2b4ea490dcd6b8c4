"""`python -m imsg_wechat menu [ACCOUNT]`, inside a container of the sender, which has its settings."""

import argparse
import asyncio
import sys

from imsg_runtime.settings import StartError, load
from imsg_wechat.main import Settings, describe_menu, make_menus


def main() -> int:
    """Carry out the one command there is; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m imsg_wechat", description="Official accounts of WeChat.")
    menu = parser.add_subparsers(required=True).add_parser(
        "menu", help="add our button, 获取我的openID, to an account's menu; what is in it stays"
    )
    menu.add_argument("account", nargs="?", help="which account; all if none is named")
    menu.add_argument("--replace", action="store_true", help="make a menu of our button alone")
    given = parser.parse_args()
    try:
        made = asyncio.run(make_menus(load(Settings), given.account, replace=given.replace))
    except StartError as error:
        print(f"imsg: {error}", file=sys.stderr)  # noqa: T201  a command
        return 2
    for account, one in made.items():
        print(describe_menu(account, one), file=sys.stderr if one.why else sys.stdout)
    return int(any(one.why is not None for one in made.values()))


if __name__ == "__main__":
    sys.exit(main())
