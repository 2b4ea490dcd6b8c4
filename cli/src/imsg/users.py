"""`imsg users`: list, show, create, change, delete; and a new password on the server itself, without a token."""

import sys
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url, segment
from imsg_runtime.lines import Line, fill

app = listing_group("Users: list, show, create, set, delete, reset-password.")

COLUMNS = {
    "username": "username",
    "role": "role",
    "available": "sends",
    "per_hour": "hour",
    "per_day": "day",
    "recipients_per_day": "recipients",
    "may_send_codes": "codes",
    "senders": "senders",
    "sms_countries": "countries",
    "default_category": "v1",
    "department": "department",
    "email": "email",
    "phone": "phone",
    "wechat": "wechat",
}
"""Field of a user → its heading in the list; the limits are requests an hour and a day, and recipients a day."""

QUOTA_COLUMNS = {
    "id": "quota",
    "scope": "of",
    "counts": "counts",
    "per": "per",
    "method": "method",
    "limit": "limit",
    "used": "used",
    "left": "left",
    "opens_at": "opens",
}
"""Field of a quota → its heading."""

Name = Annotated[str, typer.Argument(help="The username.")]
Phone = Annotated[str | None, typer.Option(help="Their phone number.")]
Email = Annotated[str | None, typer.Option(help="Their e-mail address.")]
Wechat = Annotated[str | None, typer.Option(help="Their WeChat tag.")]
Role = Annotated[str | None, typer.Option(help="user or admin.")]
Hour = Annotated[int | None, typer.Option(help="Requests an hour.")]
Day = Annotated[int | None, typer.Option(help="Requests a day.")]
Available = Annotated[bool | None, typer.Option("--available/--unavailable", help="Whether they may send.")]
Codes = Annotated[bool | None, typer.Option("--codes/--no-codes", help="Whether they may send log-in codes.")]
Senders = Annotated[
    str | None,
    typer.Option(help="The senders by which they may send mail, with commas; all; or none but the default one."),
]
Countries = Annotated[
    str | None, typer.Option(help="The countries they may send SMS to, such as CN,HK; * for every one.")
]
DefaultCategory = Annotated[str | None, typer.Option(help="What their messages are in v1: notice, code or marketing.")]
Department = Annotated[str | None, typer.Option(help="Their department; empty: none.")]
Password = Annotated[str | None, typer.Option(help="Asked for if missing; - reads it from stdin.")]


RecipientsDay = Annotated[
    str | None, typer.Option(help="Recipients a day over all requests; none: no limit.", metavar="N|none")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List all users (administrators)."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect("/api/v2/users", "users", {})
    if as_json:
        print_json(answer)
        return
    rows = [tuple(_show(user.get(name)) for name in COLUMNS) for user in answer["users"]]
    print_table(tuple(COLUMNS.values()), rows)


@app.command()
def show(username: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show what a user may still send: each quota, what is used and left of it, and when its next period begins."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"/api/v2/users/{segment(username)}")
    if as_json:
        print_json(answer)
        return
    rows = [tuple(_show(row[name]) for name in QUOTA_COLUMNS) for row in answer["quotas"]]
    print_table(tuple(QUOTA_COLUMNS.values()), rows)


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
    recipients_per_day: RecipientsDay = None,
    available: Available = None,
    codes: Codes = None,
    senders: Senders = None,
    sms_countries: Countries = None,
    default_category: DefaultCategory = None,
    department: Department = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Create a user."""
    body = _collect(phone=phone, email=email, wechat=wechat, role=role, per_hour=per_hour, per_day=per_day)
    body |= _collect(available=available, may_send_codes=codes, default_category=default_category)
    body |= _read_unsettable(recipients_per_day, senders, sms_countries, department)
    body |= {"username": username, "password": _read_password(password)}
    _change("POST", "/api/v2/register", body, fill("{0} is created.", username), url, as_json=as_json)


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
    recipients_per_day: RecipientsDay = None,
    available: Available = None,
    codes: Codes = None,
    senders: Senders = None,
    sms_countries: Countries = None,
    default_category: DefaultCategory = None,
    department: Department = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Change a user: only the fields that are named; an empty contact removes it."""
    body = _collect(phone=phone, email=email, wechat=wechat, role=role, per_hour=per_hour, per_day=per_day)
    body |= _collect(available=available, may_send_codes=codes, default_category=default_category)
    body |= _read_unsettable(recipients_per_day, senders, sms_countries, department)
    if not body and password is None:
        raise usage("nothing to change; name what, such as --per-day 50.")
    if password is not None:
        body["password"] = _read_password(password)
    path, done = f"/api/v2/users/{segment(username)}", fill("{0} is changed.", username)
    _change("PATCH", path, body, done, url, as_json=as_json)


@app.command()
def delete(username: Name, yes: Yes = False, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Delete a user; asks first. Their tokens end at once, what they sent stays in history."""
    confirm(fill("Delete the user {0}? It can't be undone.", username), yes=yes)
    _change(
        "DELETE", f"/api/v2/users/{segment(username)}", None, fill("{0} is deleted.", username), url, as_json=as_json
    )


@app.command("reset-password")
def reset_password(username: Name, password: Password = None) -> None:
    """Set a password on the server itself, without a token; ends every token of the user."""
    from imsg.reset import reset_password as reset  # noqa: PLC0415  only the verbs of the server pay for loading a service

    with ending(as_json=False):
        reset(username, _read_password(password))
    print_line(fill("{0} has a new password; every token of theirs has ended.", username))


def _change(method: str, path: str, body: dict[str, Any] | None, done: Line, url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call(method, path, body)
    if as_json:
        print_json(answer)
    else:
        print_line(done)


def _collect(**fields: object) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _read_unsettable(
    recipients_per_day: str | None, senders: str | None, countries: str | None, department: str | None
) -> dict[str, Any]:
    """Read the options that may say that there is no limit, or nothing. Raises a usage error."""
    values = {
        "recipients_per_day": recipients_per_day and _read_recipients(recipients_per_day),
        "senders": senders and _read_senders(senders),
        "sms_countries": countries and [code.strip().upper() for code in countries.split(",") if code.strip()],
        "department": department or None,
    }
    options = {"recipients_per_day": recipients_per_day, "senders": senders, "sms_countries": countries}
    options["department"] = department
    return {name: values[name] for name, option in options.items() if option is not None}


def _read_recipients(option: str) -> int | None:
    """Read --recipients-per-day. Raises a usage error."""
    if option == "none":
        return None
    if not (option.isascii() and option.isdigit()):
        raise usage(fill("--recipients-per-day must be a whole number or none, not {0}.", option))
    return int(option)


def _read_password(option: str | None) -> str:
    if option == "-":
        return sys.stdin.readline().rstrip("\n")
    if option is not None:
        return option
    typed: str = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    return typed


def _read_senders(text: str) -> list[str] | None:
    """Read `news,alerts`, `all` or `none`."""
    if text == "all":
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",") if name.strip()]


def _show(value: object) -> object:
    """Return a list of names as text, any other value unchanged."""
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else value
