"""The accounts at providers that are set up on the page: no setting names them, so iMSG itself is asked about them."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from imsg.api import Api

PAGE = "page"
"""Where an account comes from, in the answer of the API; the others come from settings."""


def list_page_accounts(api: Api) -> Sequence[Mapping[str, Any]]:
    """Return the accounts, each with what needs attention. Raises Refused, Unreachable."""
    providers = api.call("GET", "/api/v2/providers")["providers"]
    return [provider for provider in providers if provider["from"] == PAGE]


def try_page_account(api: Api, account: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check an account through a sender, without sending; return the provider's answer. Raises Refused, Unreachable."""
    return api.call("POST", f"/api/v2/providers/{account['method']}/{quote(account['name'], safe='')}/check")
