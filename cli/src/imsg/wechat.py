"""`imsg wechat`: the verbs of official accounts."""

from typing import Annotated

import typer

from imsg.output import complain, print_line

app = typer.Typer(help="Official accounts of WeChat: menu.", no_args_is_help=True)


@app.callback()
def wechat() -> None:
    """Official accounts of WeChat: menu."""


@app.command()
def menu(
    account: Annotated[str | None, typer.Argument(help="Which account; default: all.")] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the menu by one with our button alone.")] = False,
) -> None:
    """Add our button, 获取我的openID, to an account's menu; its other buttons stay."""
    from imsg.menu import make  # noqa: PLC0415  only the verbs of the server pay for loading a service

    failed = False
    for sentence, has_button in make(account, replace=replace).values():
        failed |= not has_button
        (print_line if has_button else complain)(sentence)
    if failed:
        raise typer.Exit(1)
