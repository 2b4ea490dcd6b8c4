"""The command `python -m imsg_wechat menu [ACCOUNT]`; run it in a container of the sender, which has the settings."""

import argparse
import asyncio
import sys

from imsg_runtime.settings import StartError, load
from imsg_wechat.main import Settings, describe_menu, make_menus


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m imsg_wechat", description="Official accounts of WeChat.")
    menu = parser.add_subparsers(required=True).add_parser(
        "menu", help="add our button, 获取我的openID, to an account's menu; its other buttons stay"
    )
    menu.add_argument("account", nargs="?", help="which account; default: all")
    menu.add_argument("--replace", action="store_true", help="replace the menu by one with our button alone")
    arguments = parser.parse_args()
    try:
        menus = asyncio.run(make_menus(load(Settings), arguments.account, replace=arguments.replace))
    except StartError as error:
        print(f"imsg: {error}", file=sys.stderr)  # noqa: T201  a command
        return 2
    for account, result in menus.items():
        print(describe_menu(account, result), file=sys.stderr if result.why else sys.stdout)
    return int(any(result.why is not None for result in menus.values()))


if __name__ == "__main__":
    sys.exit(main())
