"""What makes each alert fire: a cause begins, and ends with its context."""

import secrets
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import redis
import trustme
from sqlalchemy import text

from imsg_contract.topology import BACKED_UP, next_due_key
from imsg_contract.wire import Outcomes, Status
from imsg_testing.alert_site import Site
from imsg_testing.databases import open_database
from imsg_testing.history import job, outcome
from imsg_testing.http_stub import HttpStub, reply
from imsg_testing.mailbox import Mailbox, Manner
from imsg_testing.servers.dovecot import PASSWORD
from imsg_testing.tcp_server import LoopThread
from imsg_testing.waiting import wait

ENDS_WITHIN_S = 420.0
"""The counters' window of an hour is two minutes here, and a refused log-in is tried again after one."""

LOST_AFTER_S = 15

DUE_IN_S = 45

UNKNOWN = "550 5.1.1 User unknown"

CONNECTIONS = 100

MANY = 10_300
"""A few more jobs than a queue may hold that grows, and more than four fifths of what it may hold at all."""

MAX_DEPTH = 12_500

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


@contextmanager
def bounce_mailbox_refuses_the_log_in(site: Site) -> Iterator[None]:
    """Change the bounce mailbox's password."""
    file = site.dovecot.folder / "dovecot.conf"
    right = file.read_text()
    file.write_text(right.replace(PASSWORD, "another"))
    site.dovecot.restart()
    yield
    file.write_text(right)
    site.dovecot.restart()


@contextmanager
def endpoint_is_gone(site: Site) -> Iterator[None]:
    """Make the endpoint of a callback answer 410 Gone."""
    with site.telling(410):
        yield


@contextmanager
def endpoint_fails(site: Site) -> Iterator[None]:
    """Make the endpoint of a callback answer 500."""
    with site.telling(500):
        yield


@contextmanager
def unreadable_message(site: Site) -> Iterator[None]:
    """Publish an unreadable message."""
    site.publish("outcome", "{")
    yield


@contextmanager
def outcome_of_long_ago(site: Site) -> Iterator[None]:
    """Publish the outcome of a job of long ago."""
    old = outcome(job(at=datetime.now(UTC) - timedelta(days=100)), Status.SENT)
    site.publish("outcome", Outcomes(outcomes=(old,)).model_dump_json())
    yield


@contextmanager
def queue_purged(site: Site) -> Iterator[None]:
    """Purge a queue in which a message waits."""
    with paused_channel(site):
        request = site.send("lost@example.com")
        wait(lambda: bool(site.deployment.messages(request)), why=lambda: "history has not recorded it")
        for lane in ("normal", "bulk"):
            site.control_broker("DELETE", f"queues/%2F/imsg.smtp.{lane}/contents")
    yield


@contextmanager
def scheduler_dead(site: Site) -> Iterator[None]:
    """Kill the scheduler before a request is due."""
    (scheduler,) = site.deployment.schedulers
    due = datetime.now(UTC) + timedelta(seconds=DUE_IN_S)
    site.send("later@example.com", send_at=due.isoformat())
    with redis.Redis.from_url(site.deployment.valkey.url, decode_responses=True) as store:
        wait(lambda: store.get(next_due_key("smtp")) not in {None, "0"}, why=lambda: "scheduler has not told of it")
    scheduler.process.kill()
    yield
    scheduler.start()


@contextmanager
def recipients_unknown(site: Site) -> Iterator[None]:
    """Send to many recipients that the mail server does not know."""
    everybody = list_strangers(300)
    site.deployment.mailbox.poison = {address: {"RCPT": UNKNOWN} for address in everybody}
    site.send(everybody)
    yield


@contextmanager
def mail_server_away(site: Site) -> Iterator[None]:
    """Stop the mail server."""
    mailbox = site.deployment.mailbox
    mailbox.manner = Manner.AWAY
    mailbox.hang_up()
    yield
    mailbox.manner = Manner.TAKE
    wait(lambda: site.is_open("smtp"), ENDS_WITHIN_S, 0.5, lambda: site.deployment.logs)


@contextmanager
def answers_lost(site: Site) -> Iterator[None]:
    """Make the mail server accept mails without an answer."""
    mailbox = site.deployment.mailbox
    mailbox.manner = Manner.HANG
    site.send(list_strangers(CONNECTIONS))
    wait(lambda: mailbox.concurrent_requests > 80, 60, why=lambda: f"{mailbox.concurrent_requests} mails under way")
    mailbox.manner = Manner.TAKE
    mailbox.hang_up()
    yield


@contextmanager
def paused_channel(site: Site) -> Iterator[None]:
    """Pause the channel of mail while a message waits."""
    site.call("PATCH", "/api/v2/channels/smtp", paused=True, reason="a test")
    site.send("waits@example.com")
    yield
    site.call("PATCH", "/api/v2/channels/smtp", paused=False)


@contextmanager
def codes_for_a_paused_channel(site: Site) -> Iterator[None]:
    """Send a code by a paused channel."""
    site.call("PATCH", "/api/v2/users/admin", may_send_codes=True)
    with paused_channel(site):
        for code in list_strangers(130):
            site.send(code, category="code")
        yield


@contextmanager
def redis_dead(site: Site) -> Iterator[None]:
    """Kill Redis."""
    site.deployment.valkey.kill()
    yield
    site.deployment.valkey.start()


@contextmanager
def disk_of_the_broker_full(site: Site) -> Iterator[None]:
    """Set RabbitMQ's limit of free space above its disk's size."""
    site.deployment.rabbit.control("set_disk_free_limit", "900000GB")
    yield
    site.deployment.rabbit.control("set_disk_free_limit", "50MB")


@contextmanager
def database_slow(site: Site) -> Iterator[None]:
    """Slow down what history writes."""
    with open_database(site.deployment.postgres.url_of("history")) as engine:

        def run(*statements: str) -> None:
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(text(statement))

        run(
            "CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'",
            "CREATE TRIGGER slow AFTER INSERT ON requests FOR EACH STATEMENT EXECUTE FUNCTION be_slow()",
        )
        yield
        run("DROP FUNCTION be_slow() CASCADE")


@contextmanager
def clock_a_minute_fast(site: Site) -> Iterator[None]:
    """Run a replica whose clock is a minute fast."""
    assert FAKETIME is not None, "libfaketime is not installed: apt-get install libfaketime"
    fast = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "+60s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    with site.running(site.deployment.history.make_replica(fast)):
        yield


@contextmanager
def senders_unseen(site: Site) -> Iterator[None]:
    """Hide the senders from Prometheus."""
    with site.hiding(*site.deployment.senders):
        yield


@contextmanager
def callbacks_cannot_write(site: Site) -> Iterator[None]:
    """Lock the callbacks service's table against its writes."""
    with site.telling(500) as receiver:
        wait(lambda: bool(receiver.calls), why=lambda: "the endpoint was not called")
        with site.locking("callbacks", "deliveries"):  # what failed is due again after 5 s
            yield


@contextmanager
def senders_and_history_stand(site: Site) -> Iterator[None]:
    """Accept messages while the senders and history are stopped."""
    (sender,) = site.deployment.senders
    sender.process.pause()
    with site.locking("history", "messages"):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: site.clients.send(), range(MANY)))
        yield
    sender.process.kill()
    sender.start()


@contextmanager
def history_frozen(site: Site) -> Iterator[None]:
    """Freeze history while it is queried."""
    stopping = threading.Event()

    def query(_: int) -> None:
        while not stopping.is_set():
            httpx.get(
                f"{site.deployment.urls[0]}/api/v2/messages", params={"token": site.deployment.token()}, timeout=60
            )

    site.deployment.history.process.pause()
    with ThreadPoolExecutor(24) as pool:
        for number in range(24):
            pool.submit(query, number)
        try:
            yield
        finally:
            stopping.set()
    site.deployment.history.process.kill()
    site.deployment.history.start()


@contextmanager
def backup_of_the_day_before_yesterday(site: Site) -> Iterator[None]:
    """Record a last backup of two days ago."""
    with redis.Redis.from_url(site.deployment.valkey.url) as store:
        store.set(BACKED_UP, int(time.time()) - 48 * 3_600)
        yield
        store.delete(BACKED_UP)


@contextmanager
def gateway_with_a_certificate_of_five_days_and_little_room(site: Site) -> Iterator[None]:
    """Run a gateway whose certificate ends in five days, and whose disk is nearly full."""
    authority, file = trustme.CA(), site.folder / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", not_after=datetime.now(UTC) + timedelta(days=5)).configure_cert(context)
    stub = HttpStub(lambda _: reply())
    with LoopThread().running(stub.running(context)):
        seen = {"IMSG_PUBLIC_URL": f"https://localhost:{stub.port}", "SSL_CERT_FILE": str(file)}
        with site.running(site.deployment.gateways[0].make_replica({**seen, "IMSG_DISK_FREE_GIB": "1000000"})):
            yield


@contextmanager
def log_in_of_an_account_refused(site: Site) -> Iterator[None]:
    """Run a sender with an account whose log-in is refused."""
    (sender,) = site.deployment.senders
    second = Mailbox()
    second.extensions, second.users = (*second.extensions, "AUTH PLAIN"), {"alerts": "another password"}
    account = {"IMSG_SMTP__SERVERS__SECOND__USERNAME": "alerts", "IMSG_SMTP__SERVERS__SECOND__PASSWORD": "a password"}
    with second.running_apart(), site.hiding(sender):
        server = {name.replace("SMTP__", "SMTP__SERVERS__SECOND__"): value for name, value in second.settings.items()}
        sender.stop()
        with site.running(sender.make_replica(server | account)):
            yield
        sender.start()


@contextmanager
def catalog_removed(site: Site) -> Iterator[None]:
    """Kill the catalog, and hide it from Prometheus."""
    assert site.deployment.catalog is not None
    site.deployment.catalog.process.kill()
    with site.hiding(site.deployment.catalog):
        yield
        site.deployment.catalog.start()


@contextmanager
def nothing_found(site: Site) -> Iterator[None]:
    """Hide all services from Prometheus."""
    site.prometheus.scrape({})
    yield
    site.scrape()


Cause = Callable[[Site], AbstractContextManager[None]]

ROUNDS: Sequence[Mapping[Cause, Collection[str]]] = (
    {
        queue_purged: ["ImsgLostFound"],
        bounce_mailbox_refuses_the_log_in: ["ImsgBouncesUnread"],
        endpoint_is_gone: ["ImsgCallbackDisabled"],
        endpoint_fails: ["ImsgCallbacksFail"],
        unreadable_message: ["ImsgDeadLetters"],
        outcome_of_long_ago: ["ImsgLateEvents"],
        recipients_unknown: ["ImsgManyRefused"],
        scheduler_dead: ["ImsgScheduleLate"],
    },
    {mail_server_away: ["ImsgChannelBlocked"]},
    {answers_lost: ["ImsgOutcomesUnknown"]},
    {
        log_in_of_an_account_refused: ["ImsgProviderNeedsAttention"],
        backup_of_the_day_before_yesterday: ["ImsgBackupMissing"],
        gateway_with_a_certificate_of_five_days_and_little_room: ["ImsgCertificateEnds", "ImsgDiskShort"],
        codes_for_a_paused_channel: ["ImsgNothingMoves", "ImsgCodesWait"],
    },
    {redis_dead: ["ImsgServiceNotReady", "ImsgCatalogMirrorBroken", "ImsgManySendsNotAccepted"]},
    {disk_of_the_broker_full: ["ImsgBrokerBlocked"]},
    {
        database_slow: ["ImsgRecordingSlow"],
        clock_a_minute_fast: ["ImsgClocksDiffer"],
        callbacks_cannot_write: ["ImsgCallbacksLate"],
        senders_unseen: ["ImsgSendersUnseen"],
    },
    {
        senders_and_history_stand: [
            "ImsgQueueGrows",
            "ImsgQueueNearItsLimit",
            "ImsgRecordingBehind",
            "ImsgRecordingQueueGrows",
        ]
    },
    {history_frozen: ["ImsgServiceDown", "ImsgRequestsSlow"], catalog_removed: ["ImsgServiceGone"]},
    {nothing_found: ["ImsgNothingScraped"]},
)
"""What happens at the same time, and which alerts each cause has."""


def list_strangers(count: int) -> list[str]:
    """Make addresses, each of a domain of its own: nothing paces them."""
    return [f"reader@{secrets.token_hex(6)}.example.com" for _ in range(count)]
