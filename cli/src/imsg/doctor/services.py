"""What the public API says of the services: each that answers, the channels, their providers, dead letters."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg.api import Api, LoginRefused, Refused, Unreachable, connect
from imsg.findings import Finding
from imsg.output import LOGIN_REMEDY, NO_TOKEN, local
from imsg_channels import BY_NAME

PATHS = {
    "auth": "/api/v2/me",
    "history": "/api/v2/messages?limit=1",
    "callbacks": "/api/v2/callbacks",
    "catalog": "/api/v2/suppressions?limit=1",
}
"""Service → a URL that the gateway relays to it."""

LOGIN_HINT = (
    "Log in as an administrator: `imsg login NAME`; with containers `docker compose run --rm cli doctor` does, and so "
    "does `… cli status`."
)

WAITING = ("queued", "retrying")

LOOKED_BACK = timedelta(hours=50)
"""A message lives 24 h, and as much longer as blocks may extend it."""

COUNTED = 100
"""The most dead letters that are counted."""

LATE_S = 120
"""As the alert ImsgScheduleLate has it."""

NO_PROVIDER = "no provider is configured"
"""How the reason of a channel without settings begins (`imsg_delivery.standby`)."""


def examine(url: str, *checks: Callable[[Api], Iterator[Finding]]) -> list[Finding]:
    """Run the checks as the user who is logged in."""
    try:
        with connect(url) as api:
            return [finding for check in checks for finding in check(api)]
    except LoginRefused as refused:
        return [Finding("log-in", refused.words, LOGIN_REMEDY)]
    except Refused as refused:
        needs_login = refused.answer.get("errorCode") in NO_TOKEN or refused.answer.get("reason") == "no_right"
        remedy = LOGIN_HINT if needs_login else "The other parts say why."
        return [Finding("log-in", refused.words, remedy)]
    except Unreachable as unreachable:
        return [Finding("services", str(unreachable), "See whether the gateway runs: make ps, make logs.")]


def check_services(api: Api) -> Iterator[Finding]:
    """Check whether each service answers what the gateway relays to it."""
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


def check_channels(api: Api) -> Iterator[Finding]:
    """Check the state of each channel, its queue, consumers, schedule and providers."""
    for channel in api.call("GET", "/api/v2/channels")["channels"]:
        yield judge_channel(channel)


CHECKS = (check_services, check_channels)
"""The checks of `imsg doctor`."""


def check_oldest(api: Api) -> Iterator[Finding]:
    """Return since when the oldest message of each channel waits, by the hour in which it was accepted."""
    now = datetime.now(UTC)
    hours = {"since": (now - LOOKED_BACK).isoformat(), "until": (now + timedelta(hours=1)).isoformat()}
    answer = api.call("GET", "/api/v2/stats", params={"bucket": "hour", **hours})
    oldest: dict[str, str] = {}
    for bucket in answer["buckets"]:
        for method, counts in bucket["counts"].items():
            if any(counts.get(status) for status in WAITING):
                oldest.setdefault(method, bucket["start"])
    waits = "; ".join(f"{method}: from the hour {local(start)}" for method, start in oldest.items())
    yield Finding("oldest message", waits or "none waits")


def check_attention(api: Api) -> Iterator[Finding]:
    """Return what is wrong with an account at a provider: its log-in, templates, balance."""
    for provider in api.call("GET", "/api/v2/providers")["providers"]:
        for trouble in provider["attention"]:
            part, since = f"{provider['method']} {provider['name']}", local(trouble["since"])
            yield Finding(part, f"since {since}: {trouble['what']}", trouble["remedy"])


def check_dead_letters(api: Api) -> Iterator[Finding]:
    """Count the newest dead letters."""
    answer = api.call("GET", "/api/v2/dead", params={"limit": str(COUNTED)})
    count = f"{len(answer['dead'])}{'+' if answer['next'] else ''}"
    if count == "0":
        yield Finding("dead letters", "none")
        return
    remedy = "`imsg dead-letters` says why each failed; once that is mended, it sends them again."
    yield Finding("dead letters", f"{count}: nothing tries them again by itself", remedy)


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
    return Finding(title, _describe(channel))


def _describe(channel: Mapping[str, Any]) -> str:
    names = ", ".join(str(provider["name"]) for provider in channel["providers"])
    lanes = ", ".join(f"{lane} {count}" for lane, count in (channel.get("lanes") or {}).items() if count)
    waiting = f"{channel['waiting']} wait{f' ({lanes})' if lanes else ''}"
    return f"open, by {names}; {waiting}" if names else f"open; {waiting}"
