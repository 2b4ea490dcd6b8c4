"""The services part of `imsg doctor`, where services run by themselves: each is asked through the public API."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imsg.api import Api, LoginRefused, Refused, Unreachable, connect
from imsg.findings import Finding
from imsg.output import LOGIN_REMEDY, NO_TOKEN
from imsg_channels import BY_NAME

PATHS = {
    "auth": "/api/v2/me",
    "history": "/api/v2/messages?limit=1",
    "callbacks": "/api/v2/callbacks",
    "catalog": "/api/v2/suppressions?limit=1",
}
"""Service → a URL that the gateway relays to it."""

LOGIN_HINT = "Log in as an administrator: `imsg login NAME`; with containers `docker compose run --rm cli doctor` does."

LATE_S = 120
"""As the alert ImsgScheduleLate has it."""

NO_PROVIDER = "no provider is configured"
"""How the reason of a channel without settings begins (`imsg_delivery.standby`)."""


def examine(url: str) -> list[Finding]:
    """Ask each service and channel, as the user who is logged in."""
    try:
        with connect(url) as api:
            return [*_check_services(api), *_check_channels(api)]
    except LoginRefused as refused:
        return [Finding("log-in", refused.words, LOGIN_REMEDY)]
    except Refused as refused:
        remedy = LOGIN_HINT if refused.answer.get("errorCode") in NO_TOKEN else "The parts above say why."
        return [Finding("log-in", refused.words, remedy)]
    except Unreachable as unreachable:
        return [Finding("services", str(unreachable), "See whether the gateway runs: make ps, make logs.")]


def _check_services(api: Api) -> Iterator[Finding]:
    for service, path in PATHS.items():
        try:
            api.call("GET", path)
        except Refused as refused:
            if isinstance(refused, LoginRefused) or refused.answer.get("errorCode") in NO_TOKEN:
                raise
            remedy = f"See whether {service} runs and what it lacks: make ps, make logs."
            yield Finding(service, refused.words, remedy)
        else:
            yield Finding(service, "answers")


def _check_channels(api: Api) -> Iterator[Finding]:
    for channel in api.call("GET", "/api/v2/channels")["channels"]:
        yield judge_channel(channel)


def judge_channel(channel: Mapping[str, Any]) -> Finding:
    """Return the state of a channel, given its row of `GET /api/v2/channels` as administrators see it."""
    method, why = str(channel["method"]), str(channel["why"] or "")
    title = BY_NAME[method].titles.en if method in BY_NAME else method
    if channel["state"] != "open":
        if why.startswith(NO_PROVIDER):
            return Finding(title, f"not in use: {why}")
        state = f"{channel['state']}: {why}" if why else str(channel["state"])
        remedy = f"`imsg channels resume {method}`" if channel["state"] == "paused" else "The reason says what to mend"
        return Finding(title, state, f"{remedy}; `imsg providers list` shows its providers.")
    if channel["consumers"] == 0:
        return Finding(title, f"no sender consumes it, {channel['waiting']} wait", "Start its sender: make ps.")
    if (late_s := channel.get("late_s") or 0) > LATE_S:
        return Finding(title, f"what was to be sent later is {late_s} s late", "See whether scheduler runs: make logs.")
    if broken := [provider for provider in channel["providers"] if provider["state"] != "open"]:
        state = "; ".join(f"{provider['name']} is {provider['state']}: {provider['why']}" for provider in broken)
        return Finding(title, state, "`imsg providers list` shows since when, and the share of each.")
    return Finding(title, _describe(channel["providers"], channel["waiting"]))


def _describe(providers: Sequence[Mapping[str, Any]], waiting: object) -> str:
    names = ", ".join(str(provider["name"]) for provider in providers)
    return f"open, by {names}; {waiting} wait" if names else f"open; {waiting} wait"
