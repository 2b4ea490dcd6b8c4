"""Rules of requests that no schema has: over several fields, existing objects, and the form of numbers.

A request that the schema allows is changed here so that these hold too; whatever is left must then be accepted.
"""

import base64
import re
import secrets
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from schemathesis import Case

from imsg_channels import CHANNELS
from imsg_contract import addresses
from imsg_testing.api_versions import in_v2

CODE_S = 600
"""The longest lifetime of a code. The schema has the bound of all messages."""

_WAIT = re.compile("[1-9]|[1-5][0-9]|60")
"""A valid `wait` of GET /api/v2/events, which keeps its answer back."""

KNOWN = "li.wei"
"""A user that exists, with every contact."""


def _first(to: str | list[str]) -> str:
    return to if isinstance(to, str) else to[0]


REACHED = {channel.name: _first(channel.example["to"]) for channel in CHANNELS if not channel.has_accounts}
"""Method → an address that it reaches; official accounts reach followers alone, and there are none."""

NOBODY = {channel.name: _first(channel.example["to"]) for channel in CHANNELS} | {
    "smtp": "nobody@example.com",
    "sms": "13900139000",
}
"""Method → an address that is no user's contact."""

Fields = dict[str, Any]


def mend(case: Case[Any]) -> None:
    """Make a valid request acceptable, in place."""
    if isinstance(case.body, dict):
        # The call brings a token that holds; what is generated never does.
        case.body = {name: value for name, value in _sound(case.body).items() if name != "token"}
    for part, rule in _RULES.get((case.method, in_v2(case.path)), ()):
        fields = getattr(case, part)
        if isinstance(fields, MutableMapping):
            rule(cast("Fields", fields))


def hasten(case: Case[Any]) -> None:
    """Set a valid `wait` to 0, in place: the request need not wait for an event."""
    waits = case.path == "/api/v2/events" and isinstance(case.query, MutableMapping)
    if waits and _WAIT.fullmatch(str(case.query.get("wait"))):
        case.query["wait"] = 0


def is_out_of_reach(case: Case[Any]) -> bool:
    """Return whether a valid request may be refused: no provider is simulated, or no schema says what is wrong.

    Whether `to` is an address is a matter of the method; a change that changes nothing lacks its field.
    """
    if case.path.startswith(
        ("/api/v2/suppressions", "/api/v2/providers", "/api/v2/senders", "/api/v2/templates/{name}")
    ):
        return True
    if (case.method, case.path) == ("POST", "/api/v2/templates"):  # a name may be taken
        return True
    if case.path.startswith("/api/v2/followers") and any(
        isinstance(part, dict) and "account" in part for part in (case.body, case.query)
    ):
        return True
    return isinstance(case.body, dict) and case.body.get("method") not in (None, *REACHED)


def _sound(value: Any) -> Any:  # noqa: ANN401  any JSON
    """Write whole numbers as such (JSON Schema takes 5.0 for an integer), and U+0000 nowhere."""
    if isinstance(value, dict):
        return {_sound(name): _sound(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, str):
        return value.replace("\0", "0")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _name(body: Fields) -> None:
    """Change a new name that reads as an address: three forms, one of them with a checksum."""
    name = body["username"]
    if any(form(name) is not None for form in (addresses.email, addresses.phone, addresses.tag)):
        body["username"] = f"n{name[:60]}?"


def _tag(body: Fields) -> None:
    """Replace a tag by one with the right check character."""
    if body.get("wechat"):
        body["wechat"] = "7K3-M9Q-2XH"


def _senders(body: Fields) -> None:
    """Name no sender: only those that exist are taken."""
    if body.get("senders"):
        body["senders"] = []


def _email(body: Fields) -> None:
    """Remove an address that RFC 5321 allows and the interface does not: a quoted local part, an address literal."""
    given = body.get("email")
    if given and addresses.email(given) is None:
        body["email"] = None


def _password(body: Fields) -> None:
    """Set a password that is on no list of common ones."""
    for name in ("password", "new"):
        if body.get(name) is not None:
            body[name] = f"Kx7-quay-{body[name]}"[:256]


def _legs(body: Fields) -> None:
    """Set the contacts of each person and the contents of the further legs; without legs no contacts."""
    people = body["to"] if isinstance(body["to"], list) else [body["to"]]
    people = [person["to"] if isinstance(person, dict) else person for person in people]
    body.pop("until", None)
    if body.get("fallback"):
        content = {"subject": "another way", "text": "明天下雨"}
        body["fallback"] = [
            {"method": "smtp", "after_s": leg["after_s"], "content": content} for leg in body["fallback"]
        ]
        people = [{"to": person, "contacts": {"smtp": "li.wei@example.com"}} for person in people]
    body["to"] = people if isinstance(body["to"], list) else people[0]


def _recipients(body: Fields) -> None:
    """Replace the recipients by an existing one, with the parameters that the channel publishes for its template."""
    method = body["method"]
    body.pop("groups", None)  # there are none
    if method in REACHED:
        body["to"] = [REACHED[method]] if isinstance(body.get("to"), list) else REACHED[method]
    else:
        body.setdefault("to", NOBODY[method])
    _legs(body)
    if method != "smtp":
        body["content"] = "明天下雨"
    elif body.get("content") is None:
        body["content"] = {"subject": "a", "text": "b"}
    for name in ("template", "template_version", "params", "language"):  # which there are, users say
        body.pop(name, None)
    for name in ("sender", "reply_to", "provider"):  # which there are, the settings say
        body.pop(name, None)


def _life(body: Fields) -> None:
    """Limit the lifetime of a code to the maximum."""
    if body.get("category") == "code" and (body.get("expires_in") or 0) > CODE_S:
        body["expires_in"] = CODE_S


def _nobodys(body: Fields) -> None:
    """Erase an address of the method that is no user's contact."""
    body["to"] = NOBODY[body["method"]]


def _span(query: Fields) -> None:
    """Remove two times, which have to be in order and not too far apart."""
    for name in ("since", "until"):
        query.pop(name, None)


def _usage(body: Fields) -> None:
    """Make the report one of usage: other fields depend on the kind, and its two times have to be in order."""
    body |= {"kind": "usage", "since": "2026-10-01T00:00:00+08:00", "until": "2026-11-01T00:00:00+08:00"}
    body["by"] = sorted(set(body.get("by", ())))
    for name in ("status", "to", "reference", "key", "code"):
        body.get("filters", {}).pop(name, None)


def _names_cursor(query: Fields) -> None:
    """Replace the cursor by a name's, which is UTF-8."""
    if query.get("cursor"):
        query["cursor"] = base64.urlsafe_b64encode(KNOWN.encode()).decode()


def _ask_for_known(names: Fields) -> None:
    """Use a user that exists."""
    names["username"] = KNOWN


def _match_any(headers: Fields) -> None:
    """Replace a list whatever it is now."""
    headers["if-match"] = "*"


def _distinct_caps(body: Fields) -> None:
    """Make the caps distinct, and high enough for the other calls."""
    rows = {(row["method"], row.get("category"), row["scope"], row["per"]): row for row in body["caps"]}
    body["caps"] = [{**row, "id": f"row-{number}", "limit": 1_000} for number, row in enumerate(rows.values())]


def _sound_prices(body: Fields) -> None:
    """Make the prices distinct, each of an existing country and day."""
    rows = [{**row, "country": "CN" if row["method"] == "sms" else None, "currency": "CNY"} for row in body["prices"]]
    rows = [row if row["method"] == "sms" else {**row, "per": "message"} for row in rows]
    body["prices"] = [{**row, "from": f"{2_000 + number}-01-01"} for number, row in enumerate(rows)]


def _distinct_quotas(body: Fields) -> None:
    """Make the quotas distinct, and high enough for the other calls."""
    rows = {(row["counts"], row["per"], row.get("method")): {**row, "limit": 10**9} for row in body["quotas"]}
    body["quotas"] = [{**row, "id": f"row-{number}"} for number, row in enumerate(rows.values())]


def _group_name(body: Fields) -> None:
    """Set a unique name of the group, without characters that only the service refuses."""
    if "name" in body:
        body["name"] = f"group-{secrets.token_hex(8)}"


def _sound_windows(body: Fields) -> None:
    """Set a unique id and an existing zone of each window, for a channel that no other test uses."""
    rows = [
        {**row, "id": f"row-{number}", "zone": "UTC", "methods": ["wecom"]}
        for number, row in enumerate(body["windows"])
    ]
    body["windows"] = rows


def _dates(body: Fields) -> None:
    """Replace the days by existing ones."""
    kinds = list(body["holidays"].values())
    body["holidays"] = {f"{2_100 + number}-01-01": kind for number, kind in enumerate(kinds)}


def _template(body: Fields) -> None:
    """Replace a template's texts by valid Liquid, for existing providers."""
    body |= {"default_language": "zh", "languages": {"zh": {"smtp": {"subject": "{{ a }}", "text": "{{ b }}"}}}}


Rule = tuple[str, Callable[[Fields], None]]


def _url(body: Fields) -> None:
    """Call a place on the internet: what leads inside is refused."""
    if body.get("url") is not None:
        body["url"] = "https://callbacks.example.com/imsg"


def _soon(body: Fields) -> None:
    """Replace the time by tomorrow's: no schema says which times are allowed."""
    if body.get("send_at") is not None:
        body["send_at"] = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def _chosen(body: Fields) -> None:
    """Choose requests in one way: by their reference, or by the window that holds them."""
    if body.get("reference") is None:
        body.pop("reference", None)
        body["held_by"] = body.get("held_by") or "a window"
    else:
        body.pop("held_by", None)


def _future(body: Fields) -> None:
    """Set the expiry of a key in the future."""
    if body.get("expires_at") is not None:
        body["expires_at"] = f"2996{body['expires_at'][4:]}"  # a leap year, as any may be


def _place(query: Fields) -> None:
    """Begin where a cursor that is made up can't, and wait for nothing."""
    query.pop("after", None)
    query["wait"] = 0


def _export(body: Fields) -> None:
    """Replace the user by an existing one, or the address by one of the method."""
    if body.get("username") is not None:
        body["username"] = KNOWN
    else:
        body["to"] = NOBODY[body["method"]]


def _own(body: Fields) -> None:
    """Make a key of one's own: another user's role may not have the scopes."""
    body.pop("username", None)


_RULES: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("POST", "/api/v2/register"): (
        ("body", _name),
        ("body", _tag),
        ("body", _email),
        ("body", _senders),
        ("body", _password),
    ),
    ("POST", "/api/modify/{username}"): (("path_parameters", _ask_for_known),),
    ("GET", "/api/v2/users"): (("query", _names_cursor),),
    ("GET", "/api/v2/users/{username}"): (("path_parameters", _ask_for_known),),
    ("POST", "/api/v2/password"): (("body", _password),),
    ("PATCH", "/api/v2/users/{username}"): (
        ("path_parameters", _ask_for_known),
        ("body", _tag),
        ("body", _email),
        ("body", _senders),
        ("body", _password),
    ),
    ("PUT", "/api/v2/windows"): (("headers", _match_any), ("body", _sound_windows)),
    ("PUT", "/api/v2/holidays"): (("headers", _match_any), ("body", _dates)),
    ("PUT", "/api/v2/caps"): (("headers", _match_any), ("body", _distinct_caps)),
    ("POST", "/api/v2/templates"): (("body", _template),),
    ("PUT", "/api/v2/prices"): (("headers", _match_any), ("body", _sound_prices)),
    ("POST", "/api/v2/groups"): (("body", _group_name),),
    ("PATCH", "/api/v2/groups/{name}"): (("body", _group_name),),
    ("PUT", "/api/v2/quotas"): (("headers", _match_any), ("body", _distinct_quotas)),
    ("GET", "/api/v2/users/{username}/quotas"): (("path_parameters", _ask_for_known),),
    ("PUT", "/api/v2/users/{username}/quotas"): (
        ("path_parameters", _ask_for_known),
        ("headers", _match_any),
        ("body", _distinct_quotas),
    ),
    ("POST", "/api/v2/messages"): (("body", _recipients), ("body", _life), ("body", _soon)),
    ("POST", "/api/v2/messages/check"): (("body", _recipients), ("body", _life), ("body", _soon)),
    ("PATCH", "/api/v2/requests/{id}"): (("body", _soon),),
    ("POST", "/api/v2/requests/cancel"): (("body", _chosen),),
    ("POST", "/api/v2/erasures"): (("body", _nobodys),),
    ("POST", "/api/v2/exports"): (("body", _export),),
    ("GET", "/api/v2/stats"): (("query", _span),),
    ("POST", "/api/v2/reports"): (("body", _usage),),
    ("POST", "/api/v2/keys"): (("body", _future), ("body", _own)),
    ("PATCH", "/api/v2/keys/{id}"): (("body", _future),),
    ("POST", "/api/v2/callbacks"): (("body", _url),),
    ("PATCH", "/api/v2/callbacks/{id}"): (("body", _url),),
    ("GET", "/api/v2/events"): (("query", _place),),
}
