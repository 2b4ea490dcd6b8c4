"""`imsg trace ID`: a message's whole way, from history and from the logs of all services."""

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from imsg.api import Api, connect
from imsg.location import find_url
from imsg.output import ending, local, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url, segment
from imsg_runtime.lines import fill

ID = re.compile(r"[0-9a-f]{32}(-\d+)?", re.ASCII)

MESSAGES = 100
"""The most messages of a request whose way is shown."""

MAX_DETAIL = 500
"""The most characters of a step: a batch that history recorded names all its requests."""

_TEXT = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]{8,20}Z) \[(\w+) *\] (\S+) *(.*)", re.ASCII)
"""A line of `IMSG_LOG_FORMAT=text`, behind whatever docker or journald wrote before it."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m", re.ASCII)

_BESIDE = ("event", "timestamp", "level")


class Step(NamedTuple):
    """Something that happened."""

    at: str
    """RFC 3339, in UTC."""
    source: str
    """`history`, or of a log what its line begins with, such as the name of a container; else `log`."""
    what: str
    detail: str


def trace(
    name: Annotated[str, typer.Argument(metavar="ID", help="A request, or one message of it (REQUEST-N).")],
    logs: Annotated[
        list[str] | None, typer.Argument(metavar="[LOG]...", help="Log files of iMSG, in JSON or text; - reads stdin.")
    ] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show a message's whole way: what history keeps of it, and each line of logs that is about it.

    One box: journalctl -u imsg -o cat | imsg trace ID -

    Containers: docker compose logs --no-color | docker compose run --rm -T cli trace ID -

    A cluster: kubectl -n imsg logs -l app.kubernetes.io/part-of=imsg --prefix --tail -1 | imsg trace ID -
    """
    if not ID.fullmatch(name):
        raise usage(fill("{0} is no id; the answer to a send has it, as does `imsg query`.", name))
    with ending(as_json=as_json), connect(find_url(url)) as api:
        requests = _find_requests(api, name.partition("-")[0])
        steps = [step for request in requests for step in _read_history(api, request, name)]
    for log in logs or ():
        steps += _read_log(log, requests)
    steps.sort(key=lambda step: datetime.fromisoformat(step.at))
    if as_json:
        print_json({"id": name, "requests": requests, "steps": [step._asdict() for step in steps]})
        return
    print_table(("when", "where", "what", "detail"), [(local(step.at), *step[1:]) for step in steps])
    if not logs:
        print_line("The logs know more: name their files, or pipe them in (`imsg trace --help`).")


def _find_requests(api: Api, request: str) -> list[str]:
    """Return the request, and those of its further legs. Raises Refused, Unreachable."""
    answer = api.call("GET", f"/api/v2/requests/{segment(request)}")
    return list(dict.fromkeys((request, *(leg["id"] for leg in answer["legs"]))))


def _read_history(api: Api, request: str, name: str) -> Iterator[Step]:
    number = f"-{name.partition('-')[2]}" if "-" in name else ""
    params = {"id": request + number, "limit": str(MESSAGES)}
    for message in api.call("GET", "/api/v2/messages", params=params)["messages"]:
        about = {
            "message": message["id"],
            "to": message["to"],
            "method": message["method"],
            "user": message["username"],
        }
        yield Step(message["created_at"], "history", "accepted", _write(about))
        timeline = message.get("timeline")
        if timeline is None:
            error = message["error"] or {}
            about = {"message": message["id"], "provider": message["provider"], **error}
            yield Step(message["updated_at"], "history", message["status"], _write(about))
        for entry in timeline or ():
            rest = {key: value for key, value in entry.items() if key not in {"at", "status"}}
            yield Step(entry["at"], "history", entry["status"], _write({"message": message["id"], **rest}))


def _read_log(file: str, requests: Collection[str]) -> Iterator[Step]:
    """Yield the lines that name one of the requests. Raises a usage error for a file that can't be read."""
    try:
        with sys.stdin if file == "-" else Path(file).open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if any(request in line for request in requests) and (step := read_line(line)) is not None:
                    yield step
    except OSError as error:
        raise usage(fill("{0} can't be read: {1}.", file, (error.strerror or str(error)).lower())) from error


def read_line(line: str) -> Step | None:
    """Read a line of a log, in JSON or text; None for one of another program."""
    line = _COLOUR.sub("", line.rstrip("\n"))
    before, brace, rest = line.partition("{")
    if brace:
        try:
            fields = json.loads(brace + rest)
            what, at = str(fields["event"]), str(fields["timestamp"])
        except (ValueError, KeyError, TypeError):
            pass
        else:
            others = {key: value for key, value in fields.items() if key not in _BESIDE}
            return Step(_in_utc(at), _name_source(before), what, _write(others))
    if (match := _TEXT.search(line)) is None:
        return None
    at, _, what, detail = match.groups()
    return Step(_in_utc(at), _name_source(line[: match.start()]), what, _cut(detail.strip()))


def _in_utc(at: str) -> str:
    return datetime.fromisoformat(at).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _name_source(before: str) -> str:
    return before.strip(" |[]") or "log"


def _write(fields: Mapping[str, Any]) -> str:
    text = " ".join(f"{key}={_write_value(value)}" for key, value in fields.items() if value is not None)
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}…"


def _write_value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if " " in text and isinstance(value, str) else text
