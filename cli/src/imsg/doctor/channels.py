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
from imsg_runtime.lines import fill
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
    state = fill("nothing of {0}__… is set; `imsg channels list` shows what its sender requires", name)
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
    """Return the finding on the providers in order; a call costs money, so none is made."""
    part = "SMS providers"
    settings = load(imsg_sms.main.Settings)
    if without_hook := settings.sms.without_hook:
        secret = variable("sms", "accounts", without_hook[0], "hook_secret")
        remedy = fill("Set {0}, and give its provider the URL that ends in it.", secret)
        return Finding(part, fill("{0} can't send receipts", ", ".join(without_hook)), remedy)
    twilio = [name for name, account in settings.sms.used.items() if account.kind == "twilio" and account.hook]
    if twilio and not settings.public_url:
        remedy = fill("Set {0}: Twilio signs the URL that it calls.", variable("public_url"))
        return Finding(part, fill("{0} has no URL for its receipts", ", ".join(twilio)), remedy)
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
        return Finding("WeChat", fill("{0}; Redis does not say how their consoles send", names))
    return _find_wechat_fault(loaded.wechat, names, plain, wrong)


def _find_wechat_fault(
    wechat: imsg_wechat.main.WeChat, names: str, plain: list[str], wrong: Mapping[str, Mapping[str, str]]
) -> Finding:
    """Return the first fault of the accounts: unencrypted messages that are refused, then missing templates."""
    refused = [account for account in plain if wechat.accounts[account].accepted_mode == "safe"]
    if refused:
        remedy = imsg_wechat.main.remedy(refused)
        state = fill("{0}: the console sends unencrypted messages, which are refused", ", ".join(refused))
        return Finding("WeChat", state, remedy)
    if wrong:
        faults = "; ".join(
            f"{account}: {fault}"
            for account, faults_of_account in wrong.items()
            for fault in faults_of_account.values()
        )
        remedy = fill(
            "Correct the templates under {0}, or add them in WeChat's console.", variable("wechat", "accounts")
        )
        return Finding("WeChat", faults[:500], remedy)
    if plain:
        return Finding("WeChat", fill("{0}; unencrypted messages of {1} are accepted", names, ", ".join(plain)))
    return Finding("WeChat", names)
