"""The official accounts' menu, made from the server itself."""

import asyncio
from collections.abc import Mapping

import imsg_wechat.main
from imsg import all_in_one, valkey
from imsg.whereabouts import require_here
from imsg_runtime.settings import load


def make(account: str | None, *, replace: bool) -> Mapping[str, tuple[str, bool]]:
    """Add our button to one account's menu, or to all; return by account what to say, and whether it has the button.

    Raises StartError.
    """
    require_here("docker compose run --rm -T sender-wechat python -m imsg_wechat menu.")
    asked = load(all_in_one.Settings)
    redis_url = asked.redis_url or valkey.find_running(asked.data_dir) or f"unix://{asked.data_dir}/none"
    given = all_in_one.prepare(asked, asked.data_dir, redis_url).derive_settings("wechat")
    settings = load(imsg_wechat.main.Settings, **given)
    made = asyncio.run(imsg_wechat.main.make_menus(settings, account, replace=replace))
    return {name: (imsg_wechat.main.describe_menu(name, one), one.why is None) for name, one in made.items()}
