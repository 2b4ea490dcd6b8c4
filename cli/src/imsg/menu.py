"""`imsg wechat menu`: the menu of the official accounts."""

import asyncio
from collections.abc import Mapping

import imsg_wechat.main
from imsg import all_in_one, valkey
from imsg.instance import require_here
from imsg_runtime.settings import load


def make(account: str | None, *, replace: bool) -> Mapping[str, tuple[str, bool]]:
    """Add our button to the menu of one account, or of all.

    Return account → a sentence about it, and whether it has the button now. Raises StartError.
    """
    require_here("docker compose run --rm -T sender-wechat python -m imsg_wechat menu.")
    own = load(all_in_one.Settings)
    redis_url = own.redis_url or valkey.find_running(own.data_dir) or f"unix://{own.data_dir}/none"
    values = all_in_one.prepare(own, own.data_dir, redis_url).derive_settings("wechat")
    settings = load(imsg_wechat.main.Settings, **values)
    menus = asyncio.run(imsg_wechat.main.make_menus(settings, account, replace=replace))
    return {name: (imsg_wechat.main.describe_menu(name, menu), menu.why is None) for name, menu in menus.items()}
