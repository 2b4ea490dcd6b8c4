"""`imsg dead-letters`: list, show and resend dead letters (administrators)."""

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from imsg.api import Api, Refused, Unreachable, connect
from imsg.location import find_url
from imsg.output import (
    complain,
    confirm,
    ending,
    listing_group,
    local,
    print_json,
    print_line,
    print_table,
    usage,
)
from imsg.verbs import METHOD_NAMES, Json, Url, segment
from imsg_runtime.lines import fill

app = listing_group("Dead letters: list, show, resend.")

Letter = Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id.")]
Method = Annotated[str | None, typer.Option(help=f"Only those of {METHOD_NAMES}")]
Reason = Annotated[str | None, typer.Option(help="Only those whose reason begins with this.")]


Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]


@app.command("list")
def list_all(
    limit: Limit = 50,
    method: Method = None,
    reason: Reason = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List dead letters, newest first."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        letters = list(islice(_find_letters(api, method, reason), limit + 1))
    more = len(letters) > limit
    del letters[limit:]
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "dead": letters, "more": more})
        return
    if not letters:
        print_line("No dead letters.")
        return
    rows = [
        (letter["id"], local(letter["at"]), letter["method"], letter["reason"], letter["detail"]) for letter in letters
    ]
    print_table(("id", "when", "channel", "reason", "detail"), rows)
    if more:
        print_line("There are more; --limit shows them.")


@app.command()
def show(letter: Letter, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show a dead letter with its body, which holds the message and its recipients."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"/api/v2/dead/{segment(letter)}")
    if as_json:
        print_json(answer)
        return
    for name in ("id", "request", "method", "queue", "reason", "detail", "at"):
        if answer[name] is not None:
            print_line(f"{name:8} {local(answer[name]) if name == 'at' else answer[name]}")
    print_line("")
    if "body" in answer:
        print(answer["body"])  # as it is: a message's words are no words of the command
    else:
        print_line(fill("{0}  (base64: the bytes are not UTF-8)", answer["body_base64"]))


@app.command()
def resend(  # noqa: PLR0917  typer reads the options from here
    letters: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which dead letters.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters that hold a message.")] = False,  # noqa: FBT002
    method: Method = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before --all.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send again the messages of dead letters: each becomes a new request, at most once a day."""
    if bool(letters) == everything:
        raise usage("name dead letters, or use --all.")
    if letters and (method or reason):
        raise usage("--method and --reason choose among --all.")
    with ending(as_json=as_json), connect(find_url(url)) as api:
        chosen = letters or [
            letter["id"] for letter in _find_letters(api, method, reason) if letter["request"] is not None
        ]
        if everything:
            confirm(fill("Send {0} again?", len(chosen)), yes=yes)
        _report(api, chosen, as_json=as_json)


def _find_letters(api: Api, method: str | None, reason: str | None) -> Iterator[dict[str, Any]]:
    """Yield the dead letters of a channel whose reason begins with `reason`, newest first."""
    for letter in api.iterate("/api/v2/dead", "dead", {}):
        if method in (None, letter["method"]) and letter["reason"].startswith(reason or ""):
            yield letter


def _report(api: Api, letters: list[str], *, as_json: bool) -> None:
    """Resend each dead letter and print the result; one that can't be resent does not stop the others."""
    answers: list[dict[str, Any]] = []
    failed = False
    for position, letter in enumerate(letters):
        try:
            # With the key, a repeat of this command is the same request.
            headers = {"Idempotency-Key": f"dead-{letter}"}
            answer = api.call("POST", f"/api/v2/dead/{segment(letter)}/resend", headers=headers)
        except Refused as refused:
            if _stops(refused):
                _report_rest(position, len(letters))
                raise
            failed = True
            answers.append({"letter": letter, **refused.answer})
            if not as_json:
                complain(f"{letter}: {refused.words}")
            continue
        except Unreachable:
            _report_rest(position, len(letters))
            raise
        answers.append({"letter": letter, **answer})
        if not as_json:
            count = answer.get("count", 1)
            print_line(
                fill(
                    "{0}: {1} message{2} accepted; imsg query --id {3}",
                    letter,
                    count,
                    "s" if count != 1 else "",
                    answer["id"],
                )
            )
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "requests": answers})
    if failed:
        raise typer.Exit(1)


def _stops(refused: Refused) -> bool:
    """Return whether the next letter would be refused too: for the token, the role, limits, or an outage."""
    return refused.answer.get("reason") not in ("not_found", "nothing_to_resend", "content_erased", "redacted")


def _report_rest(done: int, of: int) -> None:
    if done and of > 1:
        complain(fill("{0} of {1} were processed; repeat the command for the rest:", done, of))
