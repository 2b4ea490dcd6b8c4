"""`imsg doctor`: print every setting in force, check what it points to, and name a remedy for each fault."""

import asyncio
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial

from imsg import all_in_one, effective_settings, stand_ins, tombstones
from imsg.api import language
from imsg.doctor import bounces, callbacks, channels, services, stores, windows
from imsg.doctor.checks import run_checks
from imsg.findings import Finding, Translate, print_findings, sort_findings
from imsg.instance import find_instance, is_elsewhere
from imsg.location import find_url
from imsg.output import print_line, print_table
from imsg.phrases import translate
from imsg_channels import CHANNELS
from imsg_channels.smtp import SMTP
from imsg_channels.stand_in import At, Default, MailServer, Secret
from imsg_runtime import unknown_settings
from imsg_runtime.lines import Line, fill
from imsg_runtime.masking import HIDDEN, mask
from imsg_runtime.settings import StartError, load, variable


def main(url: str | None) -> int:
    """Print settings and findings; return 0 where all is well, 1 where something needs a remedy."""
    text_in = Translate(language())
    try:
        settings = load(all_in_one.Settings)
        url = find_url(url)
        instance = find_instance(url)
        runs_elsewhere = is_elsewhere(settings, instance)
        defaults = {} if runs_elsewhere else _find_defaults(settings)
        in_force = effective_settings.settings(all_in_one.MODELS, defaults)
        if runs_elsewhere:  # services elsewhere have defaults of their own
            in_force = [setting for setting in in_force if setting.source != effective_settings.DEFAULT]
    except StartError as error:
        return print_findings([Finding("settings", "wrong", error.line)])
    rows = [(setting.name, _show(setting.value), _name_source(setting.source, text_in)) for setting in in_force]
    print_table(("setting", "value", "source"), rows)
    print_line("")
    findings = [
        Finding("settings", fill("no service reads {0}", unknown.name), unknown.remedy)
        for unknown in unknown_settings.find(all_in_one.MODELS)
    ]
    findings.append(instance.finding)
    if runs_elsewhere:
        findings += services.examine(url)
    else:
        on_page = list(services.examine_page_accounts(url, text_in)) if instance.is_imsg else []
        findings += [finding for _, finding in on_page]
        findings += asyncio.run(_examine(settings, {method for method, _ in on_page}, text_in))
    return print_findings(sort_findings(findings))


def _name_source(source: str, text_in: Translate) -> str:
    """Return the source of a setting in the shell's language; a file keeps its name."""
    names = {effective_settings.DEFAULT: "默认值", effective_settings.ENVIRONMENT: "环境变量"}
    return text_in(names.get(source, source), source)


def _show(value: str) -> str:
    """Return a value in the shell's language where it is one of iMSG's own words; what a person wrote stays."""
    return translate(value) if isinstance(value, Line) else value


def _find_defaults(settings: all_in_one.Settings) -> dict[str, str]:
    """Return what `imsg up` uses for settings that are not set: variable → value, secrets hidden."""
    redis_url = mask(settings.redis_url) or fill("embedded Valkey")
    defaults = {
        variable("redis_url"): redis_url,
        variable("broker_url"): fill("streams on {0}", redis_url),
        variable("database_url"): fill("SQLite in {0}", settings.data_dir),
        variable("tombstones_file"): str(tombstones.find_file(settings.data_dir)),
        variable("log_level"): str(settings.log_level),
    }
    defaults |= {variable(name): HIDDEN for name in ("service_key", "token_key", "erasure_key", "secret_key")}
    called = ("auth", "history", "callbacks", "catalog", "scheduler", "gateway")
    defaults |= {variable(f"{service}_url"): fill("this process") for service in called}
    for channel in CHANNELS:
        if channel.stand_in is not None and not channels.has_provider(channel):
            values = stand_ins.flatten(channel.stand_in.settings)
            defaults |= {variable(channel.name, *path): _describe(value) for path, value in values.items()}
    return defaults


def _describe(value: object) -> str:
    """Return a setting of a stand-in as text."""
    match value:
        case At() | MailServer():
            return fill("the sandbox")
        case Secret():
            return HIDDEN
        case Default(text):
            return text
        case _:
            return str(value)


async def _examine(settings: all_in_one.Settings, on_page: Collection[str], text_in: Translate) -> list[Finding]:
    """Check the stores, the channels, and what the settings say of bounces, callbacks and holidays.

    `on_page`: the channels that have accounts on the page, where the sandbox gives way.
    """
    return await run_checks(
        [
            *stores.list_checks(settings),
            *(
                (
                    text_in(channel.titles.zh, channel.titles.en),
                    partial(channels.check_channel, settings, channel, text_in),
                )
                for channel in CHANNELS
                if channel.name not in on_page or channels.has_provider(channel)
            ),
            ("bounces", lambda: bounces.examine(all_in_one.read_channel(SMTP), text_in)),
            ("callbacks", lambda: callbacks.examine(settings)),
            ("holidays", lambda: windows.examine(settings, datetime.now(UTC).date())),
        ]
    )
