"""The official accounts' menu, made from the server itself: WeChat's console can't once an API has the account."""

import asyncio
from collections.abc import Mapping

import imsg_wechat.main
from imsg import all_in_one, valkey
from imsg_runtime.settings import StartError, load, variable


def make(account: str | None) -> Mapping[str, str | None]:
    """Give the menu to one account, or to all; return what went wrong, by account. Raises StartError."""
    asked = load(all_in_one.Settings)
    redis_url = asked.redis_url or valkey.find_running(asked.data_dir) or f"unix://{asked.data_dir}/none"
    given = all_in_one.prepare(asked, asked.data_dir, redis_url).derive_settings("wechat")
    settings = load(imsg_wechat.main.Settings, **given)
    accounts = settings.wechat.accounts
    if account is not None and account not in accounts:
        known = ", ".join(sorted(accounts))
        raise StartError(f"{variable('wechat', 'accounts')} names no account {account}; there is {known or 'none'}.")
    names = sorted(accounts) if account is None else [account]
    return {name: asyncio.run(imsg_wechat.main.make_menu(settings, name)) for name in names}
