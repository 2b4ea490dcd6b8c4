"""Reads the findings of a running iMSG about its services, stores, channels and providers."""

from collections.abc import Iterator

from imsg.api import LoginRefused, Refused, Unreachable, connect
from imsg.findings import Finding, Translate
from imsg.output import LOGIN_REMEDY, NO_TOKEN
from imsg.page_accounts import list_page_accounts
from imsg_channels import BY_NAME

LOGIN_HINT = (
    "Log in as an administrator: `imsg login NAME`; with containers `docker compose run --rm cli doctor` does, and so "
    "does `… cli status`."
)


def examine(url: str) -> list[Finding]:
    """Return the findings of the status page, read as the logged-in user."""
    try:
        with connect(url) as api:
            rows = api.call("GET", "/api/v2/status")["findings"]
    except LoginRefused as refused:
        return [Finding("log-in", refused.words, LOGIN_REMEDY)]
    except Refused as refused:
        has_token = refused.answer.get("errorCode") not in NO_TOKEN
        words = refused.words if has_token else "nobody is logged in"
        remedy = "The other parts say why." if has_token and refused.answer.get("reason") != "no_right" else LOGIN_HINT
        return [Finding("log-in", words, remedy)]
    except Unreachable as unreachable:
        return [Finding("services", unreachable.line, "See whether the gateway runs: make ps, make logs.")]
    return [Finding(row["title"], row["state"], row["remedy"] or "", row["level"]) for row in rows]


def examine_page_accounts(url: str, translate: Translate) -> Iterator[tuple[str, Finding]]:
    """Yield what needs attention of each account that is set up on the page, after its channel.

    Nothing for those who are not logged in as administrators.
    """
    try:
        with connect(url) as api:
            accounts = list_page_accounts(api)
    except (Refused, Unreachable):
        return
    for account in accounts:
        titles = BY_NAME[account["method"]].titles
        part = translate(f"服务商 {account['name']}（{titles.zh}）", f"provider {account['name']} ({titles.en})")
        for problem in account["attention"]:
            yield account["method"], Finding(part, problem["what"], problem["remedy"] or "", "fault")
        if not account["attention"]:
            yield account["method"], Finding(part, "set up on the page Providers")
