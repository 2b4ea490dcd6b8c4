"""`imsg users`: list, create, change, delete; and a new password on the server itself, without a token."""

import sys
from typing import Annotated, Any

import typer

from imsg.api import Api, connect
from imsg.shown import ending, say, say_json, say_table
from imsg.verbs import URL, Json, Url, segment

PAGE = 500
"""Users asked for at once: the most that the API takes."""

app = typer.Typer(help="Users: list, create, set, delete, reset-password.", no_args_is_help=False)

Name = Annotated[str, typer.Argument(help="The username.")]
Phone = Annotated[str | None, typer.Option(help="Their phone number.")]
Email = Annotated[str | None, typer.Option(help="Their e-mail address.")]
Wechat = Annotated[str | None, typer.Option(help="Their WeChat tag.")]
Role = Annotated[str | None, typer.Option(help="user or admin.")]
Hour = Annotated[int | None, typer.Option(help="Requests an hour.")]
Day = Annotated[int | None, typer.Option(help="Requests a day.")]
Available = Annotated[bool | None, typer.Option("--available/--unavailable", help="Whether they may send.")]
Password = Annotated[str | None, typer.Option(help="Asked for where it is needed; - reads it from stdin.")]


@app.callback(invoke_without_command=True)
def listed(context: typer.Context, url: Url = URL, as_json: Json = False) -> None:  # noqa: FBT002
    """List the users (administrators)."""
    if context.invoked_subcommand is not None:
        return
    with ending(as_json=as_json), connect(url) as api:
        answer = _all_pages(api)
    if as_json:
        say_json(answer)
        return
    columns = ("username", "role", "available", "per_hour", "per_day", "email", "phone", "wechat")
    say_table(columns, [tuple(user.get(column) for column in columns) for user in answer["users"]])


@app.command()
def create(  # noqa: PLR0917
    username: Name,
    password: Password = None,
    phone: Phone = None,
    email: Email = None,
    wechat: Wechat = None,
    role: Role = None,
    per_hour: Hour = None,
    per_day: Day = None,
    available: Available = None,
    url: Url = URL,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Create a user."""
    body = _given(phone=phone, email=email, wechat=wechat, role=role, per_hour=per_hour, per_day=per_day)
    body |= _given(available=available) | {"username": username, "password": _password(password)}
    _change("POST", "/api/register", body, f"{username} is created.", url, as_json=as_json)


@app.command("set")
def change(  # noqa: PLR0917
    username: Name,
    password: Password = None,
    phone: Phone = None,
    email: Email = None,
    wechat: Wechat = None,
    role: Role = None,
    per_hour: Hour = None,
    per_day: Day = None,
    available: Available = None,
    url: Url = URL,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Change what is given of a user; an empty contact removes it."""
    body = _given(phone=phone, email=email, wechat=wechat, role=role, per_hour=per_hour, per_day=per_day)
    body |= _given(available=available)
    if password is not None:
        body["password"] = _password(password)
    _change("PATCH", f"/api/users/{segment(username)}", body, f"{username} is changed.", url, as_json=as_json)


@app.command()
def delete(username: Name, url: Url = URL, as_json: Json = False) -> None:  # noqa: FBT002
    """Delete a user."""
    _change("DELETE", f"/api/users/{segment(username)}", None, f"{username} is deleted.", url, as_json=as_json)


@app.command("reset-password")
def reset_password(username: Name, password: Password = None) -> None:
    """Set a password on the server itself, without a token; ends every token of the user."""
    from imsg import reset  # noqa: PLC0415  only the verbs of the server pay for loading a service

    with ending(as_json=False):
        reset.password(username, _password(password))
    say(f"{username} has a new password; every token of theirs has ended.")


def _change(method: str, path: str, body: dict[str, Any] | None, done: str, url: str, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(url) as api:
        answer = api.call(method, path, body)
    if as_json:
        say_json(answer)
    else:
        say(done)


def _all_pages(api: Api) -> dict[str, Any]:
    answer = api.call("GET", "/api/users", params={"limit": str(PAGE)})
    while cursor := answer["next"]:
        page = api.call("GET", "/api/users", params={"limit": str(PAGE), "cursor": cursor})
        answer = {**page, "users": answer["users"] + page["users"]}
    return answer


def _given(**fields: object) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _password(given: str | None) -> str:
    if given == "-":
        return sys.stdin.readline().rstrip("\n")
    if given is not None:
        return given
    typed: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    return typed
