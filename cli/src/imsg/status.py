"""`imsg status`: what runs now, the worst first, each fault with the next step."""

import asyncio
from collections.abc import Iterator

from imsg import all_in_one, machine
from imsg.all_in_one import Settings
from imsg.api import language
from imsg.doctor import bounces, services, stores
from imsg.doctor.checks import run_checks
from imsg.findings import Finding, Translate, print_findings, sort_findings
from imsg.instance import find_instance, is_elsewhere
from imsg.location import find_url
from imsg_channels.smtp import SMTP
from imsg_runtime.settings import StartError, load


def main(url: str | None) -> int:
    """Print the findings; return 0 where all is well, 1 where something has to be mended."""
    translate = Translate(language())
    try:
        settings = load(Settings)
        url = find_url(url)
        instance = find_instance(url)
        runs_elsewhere = is_elsewhere(settings, instance)
    except StartError as error:
        return print_findings([Finding("settings", "wrong", error.line)])
    found = [instance.finding]
    if instance.is_imsg:
        found += services.examine(url)
    if not runs_elsewhere:
        found += _examine_here(settings, translate, knows_machine=not instance.is_imsg)
    return print_findings(sort_findings(found))


def _examine_here(settings: Settings, translate: Translate, *, knows_machine: bool) -> Iterator[Finding]:
    """Check the stores of `imsg up` with these settings, and the machine where no running iMSG reports it."""
    checks = [
        *stores.list_checks(settings),
        ("bounces", lambda: bounces.examine(all_in_one.read_channel(SMTP), translate)),
    ]
    yield from asyncio.run(run_checks(checks))
    if knows_machine:
        for finding in machine.examine(settings):
            state, remedy = (
                translate(words.zh, words.en) if words else "" for words in (finding.state, finding.remedy)
            )
            yield Finding(finding.part, state, remedy, finding.level)
