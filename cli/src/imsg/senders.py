"""`imsg senders`: list, add, set and remove the senders that a send may name, and look at their domains in DNS."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.findings import MARKS
from imsg.location import find_url
from imsg.output import ending, listing_group, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url, segment
from imsg_contract.findings import Level
from imsg_runtime.lines import fill

app = listing_group("Senders of mail and SMS: list, add, set, remove, dns.")

Name = Annotated[str, typer.Argument(help="The name by which a send names it.")]
Address = Annotated[str | None, typer.Option(help="The sender that recipients see: 天存 <news@example.com>.")]
Signature = Annotated[
    str | None, typer.Option(help="Of SMS: the approved signature, such as 天存, in place of the account's.")
]
ReplyTo = Annotated[str | None, typer.Option(help="Where replies go; none: to the sender.")]

PATH = "/api/v2/senders"

LEVELS: Mapping[str, Level] = {"good": "well", "missing": "fault", "wrong": "fault", "unknown": "notice"}
"""The verdicts of DNS records, as `imsg doctor` marks them."""


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the senders, also those of the settings."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", PATH)
    if as_json:
        print_json(answer)
    elif answer["senders"]:
        rows = [
            (sender["name"], sender["method"], _describe(sender), sender["reply_to"], sender["from"])
            for sender in answer["senders"]
        ]
        print_table(("name", "channel", "address or signature", "replies to", "source"), rows)
    else:
        print_line("There are no senders but the default one.")


@app.command()
def add(  # noqa: PLR0917  typer reads the options from here
    name: Name,
    address: Annotated[
        str | None,
        typer.Argument(help="The sender that recipients of mail see: 天存 <news@example.com>.", show_default=False),
    ] = None,
    signature: Signature = None,
    reply_to: ReplyTo = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Add a sender: an address of mail, or a signature of SMS; sends may name it within 2 s."""
    if (address is None) == (signature is None):
        raise usage("Name an address, or --signature.")
    body: dict[str, Any] = {"name": name, "method": "smtp", "address": address, "reply_to": _read(reply_to)}
    if signature is not None:
        body = {"name": name, "method": "sms", "signature": signature}
    _print_answer(_call("POST", PATH, body, url, as_json=as_json), as_json=as_json)


@app.command("set")
def change(  # noqa: PLR0917  as above
    name: Name,
    address: Address = None,
    signature: Signature = None,
    reply_to: ReplyTo = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Change the address of a sender, where replies go, or the signature."""
    options = {"address": address, "signature": signature}
    body: dict[str, Any] = {field: value for field, value in options.items() if value is not None}
    if reply_to is not None:
        body["reply_to"] = _read(reply_to)
    if not body:
        raise usage("Name --address, --signature or --reply-to.")
    _print_answer(_call("PATCH", f"{PATH}/{segment(name)}", body, url, as_json=as_json), as_json=as_json)


@app.command()
def remove(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Remove a sender; a message that names it and still waits fails."""
    answer = _call("DELETE", f"{PATH}/{segment(name)}", None, url, as_json=as_json)
    if as_json:
        print_json(answer)
    else:
        print_line(fill("The sender {0} is removed.", name))


@app.command("dns")
def show_dns(
    name: Annotated[str, typer.Argument(help="Its name; default: the sender of mails that name none.")] = "default",
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Look up the DNS records of a sender's domain, and show what to enter; `imsg doctor mail` checks the same."""
    answer = _call("GET", f"{PATH}/{segment(name)}/dns", None, url, as_json=as_json)
    if as_json:
        print_json(answer)
        return
    rows = [
        (MARKS[LEVELS[record["verdict"]]], record["record"], record["why"], record["remedy"])
        for record in answer["records"]
    ]
    print_table(("", "part", "what is found", "remedy"), rows)
    for record in answer["records"]:
        if record["wanted"] and record["verdict"] in {"missing", "wrong"}:
            print_line("")
            print_line(f"{record['name']} {record['type']}")
            print_line(record["wanted"])
    print_line("")
    for receiver in answer["receivers"]:
        print_line(f"{receiver['receiver']}: {receiver['verdict']}")


def _call(verb: str, path: str, body: dict[str, Any] | None, url: str | None, *, as_json: bool) -> dict[str, Any]:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        return api.call(verb, path, body)


def _print_answer(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_line(fill("The sender {0} is {1}; sends may name it within 2 s.", answer["name"], _describe(answer)))
        for remark in answer["remarks"]:
            print_line(f"{MARKS['notice']} {remark['provider']}: {remark['what']} {remark['remedy']}")


def _describe(sender: Mapping[str, Any]) -> str:
    return str(sender["address"] or f"【{sender['signature']}】")


def _read(reply_to: str | None) -> str | None:
    return None if reply_to in {None, "none"} else reply_to
