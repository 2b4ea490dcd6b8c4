"""The verbs that call a running iMSG: login, send, query."""

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from imsg import sending
from imsg.api import Api, Refused, connect, open_client, save_token
from imsg.location import find_url
from imsg.output import complain, ending, local, print_json, print_line, print_table, usage
from imsg.people_files import choose_people, read_people
from imsg_channels import METHODS
from imsg_channels.smtp import SMTP
from imsg_runtime.lines import fill

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="iMSG's URL; default: IMSG_GATEWAY_URL, else this machine at IMSG_PORT.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]

AT = typer.Option(
    formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
    help="When it is to be sent, by the clock of IMSG_TIMEZONE unless it names an offset.",
    show_default=False,
)

LEG_AFTER_S = 120
"""After how long a further leg begins where --fallback does not say it."""

METHOD_NAMES = f"{', '.join(METHODS[:-1])} or {METHODS[-1]}."
"""The channels, for help texts."""


def login(
    username: Annotated[str, typer.Argument(help="Your username.")],
    password: Annotated[
        str | None, typer.Option(envvar="IMSG_PASSWORD", help="Asked for if missing; - reads it from stdin.")
    ] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002  typer's way of a flag
) -> None:
    """Log in, and save the token for the other verbs."""
    if password == "-":  # noqa: S105  the sign for standard input
        password = sys.stdin.readline().rstrip("\n")
    if password is None:
        password = typer.prompt("Password", hide_input=True, err=True)
    with ending(as_json=as_json), open_client(where := find_url(url)) as client:
        body = {"username": username, "password": password}
        try:
            answer = Api(client, None).call("POST", "/api/v2/login", body)
        except Refused as refused:
            if refused.answer.get("reason") != "otp_required":
                raise
            body["otp"] = typer.prompt("One-time password", err=True)
            answer = Api(client, None).call("POST", "/api/v2/login", body)
        path = save_token(where, str(answer["token"]))
        if as_json:
            print_json(answer)
        else:
            hours = int(answer.get("expires_in", 0)) // 3600
            print_line(
                fill("{0} is logged in at {1} for {2} hours; the token is saved in {3}.", username, where, hours, path)
            )


def send(  # noqa: PLR0917  typer reads the options from here
    recipients: Annotated[list[str] | None, typer.Argument(help="Recipients: addresses or usernames.")] = None,
    to: Annotated[list[str] | None, typer.Option(help="Another recipient. Repeatable.")] = None,
    method: Annotated[str, typer.Option(help=METHOD_NAMES)] = SMTP.name,
    subject: Annotated[str | None, typer.Option(help="The subject of a mail.")] = None,
    text: Annotated[str | None, typer.Option(help="The text; - reads stdin, @FILE a file.")] = None,
    html: Annotated[str | None, typer.Option(help="HTML of a mail, beside its text; - and @FILE work as well.")] = None,
    attach: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="A file to attach. Repeatable.")
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option(help="A file with one recipient per line; - reads stdin.", allow_dash=True)
    ] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group; its members get it. Repeatable.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="A workbook or CSV file of people, as `imsg groups import` reads it.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="A template in place of the text, as imsg templates lists it.", show_default=False),
    ] = None,
    param: Annotated[list[str] | None, typer.Option(help="What the template takes: NAME=VALUE. Repeatable.")] = None,
    leave_out: Annotated[  # noqa: FBT002
        bool, typer.Option("--leave-out", help="Send although some rows of the sheet are wrong.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="The official account, for wechat.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="Your own name for the request; `imsg query --reference` finds it.")
    ] = None,
    expires_in: Annotated[int | None, typer.Option(help="Lifetime in seconds, 30 to 172800.")] = None,
    at: Annotated[datetime | None, AT] = None,
    fallback: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Another channel for recipients not reached: METHOD, or METHOD:SECONDS, after which it begins (120). "
                "Repeatable, in order."
            ),
            show_default=False,
        ),
    ] = None,
    contact: Annotated[
        list[str] | None,
        typer.Option(
            help="The recipient's address of another channel, for --fallback: METHOD=ADDRESS. Repeatable.",
            show_default=False,
        ),
    ] = None,
    category: Annotated[
        str | None,
        typer.Option(help="code (a log-in code: first of all, for 10 min at most), notice or marketing."),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(help="Who it comes from: a name of `imsg senders`, of SMS a signature.", show_default=False),
    ] = None,
    reply_to: Annotated[
        str | None, typer.Option(help="Where replies go, as IMSG_SMTP__REPLY_TO names it.", show_default=False)
    ] = None,
    chunk: Annotated[int, typer.Option(min=1, help="Recipients per request.")] = sending.CHUNK,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send a message to one recipient, several, or a list of any length."""
    if [text, html, str(to_file)].count("-") > 1:
        raise usage("only one of --text, --html and --to-file can be read from standard input.")
    try:
        addresses: list[sending.Recipient] = [*sending.read_recipients([*(recipients or []), *(to or [])], to_file)]
        files = tuple(sending.read_attachment(path) for path in attach or [])
    except (OSError, UnicodeDecodeError) as error:
        raise usage(fill("can't be read: {0}.", error)) from error
    people = None if sheet is None else read_people(sheet)
    if bool(addresses or people) == bool(group):
        raise usage("name recipients, or groups by --group; --sheet and --to-file read recipients from a file.")
    params = _read_params(template, param, has_words=any((subject, text, html)))
    legs = [_split_leg(leg) for leg in fallback or ()]
    methods = [method, *(name for name, _ in legs)]
    content, *further = _write_words(methods, template, subject, text, html)
    addresses = _add_contacts(addresses, contact or (), is_alone=bool(legs) and people is None)
    message = sending.Message(
        method, content.get("content", ""), files, account, reference, expires_in, category, sender, reply_to,
        template, params, at,
        [{"method": name, "after_s": s, **words} for (name, s), words in zip(legs, further, strict=True)],
    )  # fmt: skip
    if category == "code":
        chunk = 1  # a code is a request of its own
    with ending(as_json=as_json), connect(find_url(url)) as api:
        if group and (members := sending.read_groups(api, group, methods, template)) is None:
            _report(sending.send_to_groups(api, message, group), as_json=as_json)
            return
        if group:
            addresses, message = members or [], replace(message, reference=reference or f"groups-{uuid.uuid4().hex}")
        if people is not None:
            takes = None if template is None else sending.read_params(api, template)
            chosen = choose_people(people, method, takes, params, leave_out=leave_out)
            addresses += [
                sending.personalise(message.find(method) or "", message, takes, methods[1:]) for message in chosen
            ]
        sending.check(api, message, addresses, chunk)
        try:
            sent = sending.send(api, message, addresses, chunk, quiet=as_json or len(addresses) == 1)
        except sending.Interrupted as interrupted:
            if interrupted.sent.recipients:
                done = interrupted.sent.recipients
                complain(fill("the first {0} of {1} recipients were accepted, the rest was not:", done, len(addresses)))
            raise interrupted.why from interrupted
    _report(sent, as_json=as_json)


def split_param(text: str) -> tuple[str, str]:
    """Split NAME=VALUE. Raises a usage error."""
    name, equals, value = text.partition("=")
    if not equals:
        raise usage(fill("--param {0}: write NAME=VALUE.", text))
    return name, value


def _read_params(template: str | None, params: Sequence[str] | None, *, has_words: bool) -> dict[str, str]:
    """Return what a template takes. Raises a usage error."""
    if (params or template is not None) and (template is None or has_words):
        raise usage("--template takes the place of --subject, --text and --html, and --param goes with it alone.")
    return dict(map(split_param, params or ()))


def _write_words(
    methods: Sequence[str], template: str | None, subject: str | None, text: str | None, html: str | None
) -> list[dict[str, Any]]:
    """Return what each channel sends: its content, or the template. Raises a usage error."""
    if template is not None:
        return [{"template": template}] * len(methods)
    plain, marked = sending.read_text(text) or "", sending.read_text(html)
    if SMTP.name not in methods:
        if subject is not None or html is not None:
            raise usage(fill("--subject and --html belong to mail; {0} has --text alone.", methods[0]))
        return [{"content": plain}] * len(methods)
    if subject is None:
        raise usage("a mail needs --subject.")
    mail = {"subject": subject, "text": plain, **({} if marked is None else {"html": marked})}
    return [{"content": mail if method == SMTP.name else plain} for method in methods]


def _split_leg(text: str) -> tuple[str, int]:
    """Split METHOD:SECONDS. Raises a usage error."""
    method, colon, after_s = text.partition(":")
    if method not in METHODS or (colon and not (after_s.isascii() and after_s.isdigit())):
        raise usage(fill("--fallback {0}: write METHOD or METHOD:SECONDS; the methods are {1}", text, METHOD_NAMES))
    return method, int(after_s) if colon else LEG_AFTER_S


def _add_contacts(
    addresses: Sequence[sending.Recipient], contacts: Sequence[str], *, is_alone: bool
) -> list[sending.Recipient]:
    """Return the one recipient with addresses of other channels, where there are any. Raises a usage error."""
    if not contacts:
        return [*addresses]
    if not is_alone or len(addresses) != 1:
        raise usage("--contact goes with --fallback and one recipient; for several, use --sheet or --group.")
    split = [text.partition("=") for text in contacts]
    if wrong := next((text for text, (_, equals, _) in zip(contacts, split, strict=True) if not equals), None):
        raise usage(fill("--contact {0}: write METHOD=ADDRESS.", wrong))
    return [{"to": addresses[0], "contacts": {method: address for method, _, address in split}}]


def _report(sent: sending.Sent, *, as_json: bool) -> None:
    if as_json:
        print_json(sent.answers[0] if len(sent.answers) == 1 else {"errorCode": 0, "requests": sent.answers})
        return
    for answer in sent.answers:
        count = answer.get("count", 1)
        print_line(
            fill(
                "{0} message{1} accepted; imsg query --id {2} shows them.",
                count,
                "s" if count != 1 else "",
                answer.get("id"),
            )
        )
        if left_out := answer.get("without_address"):
            print_line(fill("{0} without an address of this channel were left out.", left_out))
        if costs := answer.get("cost"):
            print_line(fill("Likely cost: {0}.", ", ".join(map(_write_cost, costs))))


def _write_cost(cost: Mapping[str, Any] | None) -> str:
    return f"{cost['amount']} {cost['currency']}" if cost else ""


def query(  # noqa: PLR0917
    message: Annotated[str | None, typer.Option("--id", help="A request, or one message of it (REQUEST-N).")] = None,
    username: Annotated[str | None, typer.Option(help="Username; for administrators.")] = None,
    method: Annotated[str | None, typer.Option(help=METHOD_NAMES)] = None,
    status: Annotated[str | None, typer.Option(help="queued, retrying, sent, failed, ...")] = None,
    to: Annotated[str | None, typer.Option(help="The recipient.")] = None,
    reference: Annotated[str | None, typer.Option(help="The reference that it was sent with.")] = None,
    key: Annotated[str | None, typer.Option(help="The name of the API key that sent it.")] = None,
    since: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    until: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show messages and their status, newest first."""
    filters = {"id": message, "username": username, "method": method, "status": status, "to": to}
    filters |= {"reference": reference, "key": key, "since": since, "until": until}
    params = {name: value for name, value in filters.items() if value}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect("/api/v2/messages", "messages", params, limit)
    if as_json:
        print_json(answer)
        return
    if not answer["messages"]:
        print_line("No messages.")
        return
    _show(answer["messages"], more=answer["next"] is not None)


def _show(messages: list[dict[str, Any]], *, more: bool) -> None:
    columns = ("id", "user", "to", "subject", "status", "tries", "cost", "when", "why")
    rows = [
        (
            message["id"],
            message["username"],
            message["to"],
            message.get("subject"),
            message["status"],
            message.get("attempts"),
            _write_cost(message.get("cost")),
            local(message.get("updated_at")),
            (message.get("error") or {}).get("detail"),
        )
        for message in messages
    ]
    print_table(columns, rows)
    for message in messages:
        if timeline := message.get("timeline"):
            print_line("")
            print_table(tuple(timeline[0]), [tuple(entry.values()) for entry in timeline], title=message["id"])
    if more:
        print_line("There are more; --limit shows them.")


def segment(name: str) -> str:
    """Return a name as one segment of a URL's path."""
    return quote(name, safe="")
