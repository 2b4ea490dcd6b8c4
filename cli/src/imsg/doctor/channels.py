"""The channels part of `imsg doctor`: whether each channel has a provider, and what its settings lack."""

import asyncio
from collections.abc import Mapping

import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
from imsg import all_in_one, stand_ins, valkey
from imsg.findings import Finding, Translate
from imsg.mail_servers import check_servers
from imsg_channels.sms import SMS
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_channels.wechat import WECHAT
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import load, variable


def has_provider(channel: ChannelSpec) -> bool:
    """Return whether the settings name a provider of the channel."""
    return stand_ins.names_provider(channel, all_in_one.read_channel(channel))


async def check_channel(
    settings: all_in_one.Settings, channel: ChannelSpec, translate: Translate
) -> Finding | list[Finding]:
    """Check a channel by what is known of its providers, else by its settings. Raises StartError."""
    title = translate(channel.titles.zh, channel.titles.en)
    if has_provider(channel):
        return await _check_provider(settings, channel, translate)
    if channel.stand_in is not None:
        return Finding(title, "the sandbox, in `imsg up`")
    if all_in_one.read_channel(channel):
        return Finding(title, "not checked: its sender alone knows its provider")
    name = variable(channel.name)
    state = f"nothing of {name}__… is set; `imsg channels list` shows what its sender requires"
    return Finding(title, state)


async def _check_provider(
    settings: all_in_one.Settings, channel: ChannelSpec, translate: Translate
) -> Finding | list[Finding]:
    match channel.name:
        case SMTP.name:
            smtp = load(imsg_smtp.main.Settings, history_url="http://history").smtp
            return list((await check_servers(smtp, translate)).values())
        case SMS.name:
            return await asyncio.to_thread(_check_sms)
        case WECHAT.name:
            return await _check_wechat(settings)
    return Finding(translate(channel.titles.zh, channel.titles.en), "configured; no call is made")


def _check_sms() -> Finding:
    """Name the providers in order; a call costs money, so none is made."""
    part = "SMS providers"
    settings = load(imsg_sms.main.Settings)
    if without_hook := settings.sms.without_hook:
        secret = variable("sms", "accounts", without_hook[0], "hook_secret")
        remedy = f"Set {secret}, and give its provider the URL that ends in it."
        return Finding(part, f"{', '.join(without_hook)} can't send receipts", remedy)
    twilio = [name for name, account in settings.sms.used.items() if account.kind == "twilio" and account.hook]
    if twilio and not settings.public_url:
        remedy = f"Set {variable('public_url')}: Twilio signs the URL that it calls."
        return Finding(part, f"{', '.join(twilio)} has no URL for its receipts", remedy)
    return Finding(part, ", ".join(settings.sms.order))


async def _check_wechat(settings: all_in_one.Settings) -> Finding:
    """Report what the sender has noted about the accounts; calls to WeChat are counted there, so none is made."""
    loaded = load(imsg_wechat.main.Settings, history_url="http://history")
    names = ", ".join(loaded.wechat.accounts)
    url = settings.redis_url or valkey.find_running(settings.data_dir)
    if url is None:
        return Finding("WeChat", names)
    try:
        plain = await imsg_wechat.main.find_plain(loaded, url)
        wrong = await imsg_wechat.main.find_wrong_templates(loaded, url)
    except (RedisUnavailable, RedisRefused, TimeoutError):
        return Finding("WeChat", f"{names}; Redis does not say how their consoles send")
    return _judge_wechat(loaded.wechat, names, plain, wrong)


def _judge_wechat(
    wechat: imsg_wechat.main.WeChat, names: str, plain: list[str], wrong: Mapping[str, Mapping[str, str]]
) -> Finding:
    """Return the first fault of the accounts: unencrypted messages that are refused, then missing templates."""
    refused = [account for account in plain if wechat.accounts[account].accepted_mode == "safe"]
    if refused:
        remedy = imsg_wechat.main.remedy(refused)
        state = f"{', '.join(refused)}: the console sends unencrypted messages, which are refused"
        return Finding("WeChat", state, remedy[0].upper() + remedy[1:] + ".")
    if wrong:
        faults = "; ".join(f"{account}: {fault}" for account, found in wrong.items() for fault in found.values())
        remedy = f"Correct the templates under {variable('wechat', 'accounts')}, or add them in WeChat's console."
        return Finding("WeChat", faults[:500], remedy)
    if plain:
        return Finding("WeChat", f"{names}; unencrypted messages of {', '.join(plain)} are accepted")
    return Finding("WeChat", names)
