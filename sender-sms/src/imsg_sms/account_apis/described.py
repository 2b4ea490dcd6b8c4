"""The call about an account at a described provider."""

from urllib.parse import urljoin

from imsg_contract.provider_accounts import Words
from imsg_sms.account_apis.port import AccountRefused, Balance, WithoutEntries
from imsg_sms.http_settings import Http, HttpCheck
from imsg_sms.providers.http_calls import HttpCalls
from imsg_sms.providers.http_reading import at
from imsg_web.http_pool import HttpPool

MAX_DETAIL = 300


class DescribedAccount(WithoutEntries):
    """An account at a described provider, whose description may have a call for the balance."""

    def __init__(self, account: Http, check: HttpCheck, pool: HttpPool) -> None:
        self._account = account
        self._check = check
        self._calls = HttpCalls(account, pool)

    async def read_balance(self) -> Balance | None:
        """Make the call of the description."""
        account, check = self._account, self._check
        answer = await self._calls.ask(check, urljoin(account.url, check.path))
        if not answer.is_success:
            code = answer.text.strip() if account.code == "text" else at(answer.body, account.code)
            name = f"http_{answer.status}" if code is None else account.name_code(code)
            raise AccountRefused(f"{name};", answer.text[:MAX_DETAIL])
        left = _find_last_number(answer.text) if check.left == "text" else at(answer.body, check.left or "")
        try:
            return None if left is None else Balance(float(left), None, Words(zh=f"剩余 {left}", en=f"{left} left"))
        except (TypeError, ValueError):
            return None


def _find_last_number(text: str) -> str | None:
    """Return the last part of a plain answer, where it has several, such as `0` and `used,left` below it."""
    parts = text.replace(",", " ").split()
    return parts[-1] if len(parts) > 1 else None
