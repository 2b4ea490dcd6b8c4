"""Each alert fires by a real condition of a deployment, and ends with it.

Prometheus has the files of `deploy`, with their times shortened (`imsg_testing.servers.prometheus`).
`deploy/prometheus/imsg.rules.test.yml` tries the true times by series.
"""

import re
import secrets
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack

import pytest
import yaml

from imsg_testing.alert_causes import CONNECTIONS, ENDS_WITHIN_S, LOST_AFTER_S, MAX_DEPTH, ROUNDS, Cause
from imsg_testing.alert_site import Site
from imsg_testing.fault_clients import Clients
from imsg_testing.servers import Dovecot, Prometheus
from imsg_testing.servers.dovecot import PASSWORD
from imsg_testing.servers.prometheus import DEPLOY
from imsg_testing.service import KEYS
from imsg_testing.services import Plan, deploy
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(2_400)

FIRES_WITHIN_S = 240.0

RULES = yaml.safe_load((DEPLOY / "prometheus" / "imsg.rules.yml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}

RUNBOOKS = DEPLOY.parent / "docs" / "runbooks"

SEEN = {
    "ImsgBackupMissing": "newest",
    "ImsgBouncesUnread": "bounce_mailbox_not_read",
    "ImsgBrokerBlocked": "broker_blocked",
    "ImsgCallbackDisabled": "callback_disabled",
    "ImsgCallbacksFail": "called",
    "ImsgCallbacksLate": "called",
    "ImsgCatalogMirrorBroken": "suppressions_not_mirrored",
    "ImsgCertificateEnds": "until",
    "ImsgChannelBlocked": "blocked",
    "ImsgCodesWait": "paused",
    "ImsgDeadLetters": "unreadable",
    "ImsgDiskShort": "free",
    "ImsgLostFound": "published_again",
    "ImsgManyRefused": "User unknown",
    "ImsgManySendsNotAccepted": "dependency_unavailable",
    "ImsgNothingMoves": "paused",
    "ImsgOutcomesUnknown": "p95 ms",
    "ImsgProviderNeedsAttention": "log-in",
    "ImsgQueueGrows": "waiting",
    "ImsgQueueNearItsLimit": "waiting",
    "ImsgRecordingBehind": "database_unavailable",
    "ImsgRecordingQueueGrows": "imsg.history",
    "ImsgScheduleLate": "scheduler",
    "ImsgServiceNotReady": "redis_takes_no_writes",
}
"""Alert → what its runbook's commands show, in the words of the page. Of the others `tests/compose` runs the commands:
only containers have them."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run all of it."""
    folder = tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        dovecot = stack.enter_context(Dovecot())
        bounces = {"HOST": "127.0.0.1", "PORT": str(dovecot.port), "USERNAME": "bounces", "PASSWORD": PASSWORD}
        sender = {f"IMSG_SMTP__BOUNCE_MAILBOX__{name}": value for name, value in bounces.items()}
        sender["IMSG_SMTP__CONNECTIONS"] = str(CONNECTIONS)
        sender["IMSG_PROVIDER_KEY"] = secrets.token_hex(32)  # a sender that has one looks after its accounts
        plan = Plan(
            senders=1,
            of_senders=[sender],
            has_callbacks=True,
            has_catalog=True,
            common={
                **{name: secrets.token_hex(32) for name in KEYS},  # strong, as one gateway has a public URL
                "IMSG_SWEEP__EVERY_S": "1",
                "IMSG_SWEEP__LOST_AFTER_S": str(LOST_AFTER_S),
                "IMSG_MAX_DEPTH": str(MAX_DEPTH),
            },
        )
        deployment = stack.enter_context(deploy(folder, plan))
        prometheus = stack.enter_context(Prometheus())
        clients = Clients(deployment)
        stack.callback(clients.close)
        opened = Site(folder, deployment, dovecot, prometheus, clients)
        opened.scrape()
        yield opened


def test_every_alert_has_its_cause() -> None:
    alerts = [alert for causes in ROUNDS for each in causes.values() for alert in each]

    assert sorted(alerts) == sorted(ALERTS)


def test_each_alert_fires_by_its_cause_and_ends_with_it(site: Site) -> None:
    wait(site.is_scraped, 60, 0.5, lambda: str(site.prometheus.query("up")))
    wait(lambda: site.list_in("inactive") == ALERTS, ENDS_WITHIN_S, 0.5, lambda: str(site.prometheus.read_states()))
    with site.clients.sending(threads=3, pause_s=0.3):
        for causes in ROUNDS:
            require_fired(site, causes)
    wait(lambda: not site.list_in("firing"), ENDS_WITHIN_S, 0.5, lambda: f"{site.list_in('firing')} go on")


def require_fired(site: Site, causes: Mapping[Cause, Collection[str]]) -> None:
    """Start causes, wait until each of their alerts has fired, and end them."""
    alerts = {alert for each in causes.values() for alert in each}
    wait(lambda: not site.list_in("firing") & alerts, ENDS_WITHIN_S, 0.5, lambda: f"{alerts} fire without a cause")
    began = time.monotonic()

    def missing() -> set[str]:
        return alerts - site.prometheus.list_fired(within_s=max(int(time.monotonic() - began), 1))

    with ExitStack() as stack:
        for cause in causes:
            stack.enter_context(cause(site))
        wait(lambda: not missing(), FIRES_WITHIN_S, 0.5, lambda: f"{missing()} did not fire\n{site.deployment.logs}")
        for alert in sorted(alerts):
            require_runbook(site, alert)


def require_runbook(site: Site, alert: str) -> None:
    """Run the commands of an alert's runbook; they show what the page says that one sees."""
    page = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    block, said = re.findall(r"^```sh\n(.*?)^```.*?^## What you see\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)[0]
    shown = [text for command in block.splitlines() if (text := site.run_command(command)) is not None]
    word = SEEN.get(alert)
    assert (word is None) == (not shown), f"{alert}: {shown}"
    if word is not None:
        assert word in said
        assert word in "".join(shown), f"{alert}: {word} is not in {shown}"
