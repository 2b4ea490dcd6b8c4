"""Twilio's call about an account."""

import base64
from urllib.parse import quote

from imsg_contract.provider_accounts import Words
from imsg_sms.account_apis.port import AccountRefused, Balance, WithoutEntries
from imsg_sms.account_apis.reading import read_json
from imsg_sms.account_settings import Twilio
from imsg_web.http_pool import HttpPool


class TwilioAccount(WithoutEntries):
    """An account at Twilio."""

    def __init__(self, account: Twilio, pool: HttpPool) -> None:
        self._account = account
        self._pool = pool

    async def read_balance(self) -> Balance | None:
        """Call Balance.json of the account (twilio.com/docs/usage/api/balance)."""
        account = self._account
        key = account.key_secret or account.auth_token
        login = f"{account.key_sid or account.account_sid}:{key.get_secret_value()}".encode()
        headers = {"authorization": f"Basic {base64.b64encode(login).decode()}", "accept": "application/json"}
        sid = quote(account.account_sid, safe="")
        answer = await self._pool.call(
            "GET", f"{account.endpoint.rstrip('/')}/2010-04-01/Accounts/{sid}/Balance.json", headers
        )
        body = read_json(answer.content)
        if "balance" not in body:
            raise AccountRefused(body.get("code") or answer.status_code, body.get("message") or "")
        money = f"{body['balance']} {body.get('currency', '')}".strip()
        try:
            return Balance(float(body["balance"]), None, Words(zh=f"余额 {money}", en=f"balance {money}"))
        except (TypeError, ValueError):
            return None
