"""The verbs of official accounts."""

from typing import Annotated

import typer

from imsg.output import complain, say

app = typer.Typer(help="Official accounts of WeChat.", no_args_is_help=True)


@app.callback()
def wechat() -> None:
    """Official accounts of WeChat."""


@app.command()
def menu(
    account: Annotated[str | None, typer.Argument(help="Which account; all if none is named.")] = None,
) -> None:
    """Give an account iMSG's menu, 我的 → 获取我的openID, in place of the one it has."""
    from imsg.menu import make  # noqa: PLC0415  only the verbs of the server pay for loading a service

    failed = False
    for name, why in make(account).items():
        if why is None:
            say(f"{name} has the menu; people see it within minutes, or at once after following anew.")
        else:
            failed = True
            complain(f"{name} has not got the menu: {why}")
    if failed:
        raise typer.Exit(1)
