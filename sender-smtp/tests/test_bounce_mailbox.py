"""The bounce mailbox, at a real Dovecot: what is ours is taken and marked, what is not stays unread; one reader."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from imsg_runtime.redis import Redis, connect
from imsg_smtp.bounce_settings import BounceMailbox
from imsg_smtp.bounces import imap
from imsg_smtp.bounces.imap import make_tls_context
from imsg_smtp.bounces.ingest import Ingester, make_counter
from imsg_smtp.bounces.mailbox import CURSOR_KEY, LEASE_KEY, MailboxReader, ReaderTimings
from imsg_smtp.bounces.process import IngestedBounce, RetryLater, Verdict
from imsg_testing.loop_time import pass_time
from imsg_testing.servers import Dovecot, Valkey
from imsg_testing.servers.dovecot import PASSWORD
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.long  # Dovecot

LEASE_S = 60
QUICK = ReaderTimings(lease_s=LEASE_S, lease_retry_s=0.1, idle_s=5, poll_s=0.2)


@dataclass
class Recorder:
    """Accepts mails with `ours`, and fails where its test says so."""

    kept: list[bytes] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    late: bytes = b"ours"
    """What the failures are of."""

    async def process(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Record the mail."""
        assert not recipients
        if self.failures and self.late in raw:
            raise self.failures.pop(0)
        self.kept.append(raw)
        if b"ours" in raw:
            return IngestedBounce(Verdict.ACCEPTED, "failed", is_bounce=True)
        return IngestedBounce(Verdict.IGNORED if b"holiday" in raw else Verdict.UNKNOWN_TOKEN, "auto_reply")

    def subjects(self) -> list[str]:
        """Return what it kept, in order."""
        return [raw.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for raw in self.kept]


def message(subject: str, body: str = "text") -> bytes:
    return f"From: MAILER-DAEMON@mx.example.org\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode()


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    with Valkey() as valkey:
        async with connect(valkey.url) as connection:
            yield connection


def at(server: Dovecot, user: str, **other: Any) -> BounceMailbox:  # noqa: ANN401  any setting
    given = {"host": "127.0.0.1", "port": server.port, "username": user, "password": PASSWORD, **other}
    return BounceMailbox.model_validate(given)


@contextlib.asynccontextmanager
async def reading(
    where: BounceMailbox, redis: Redis, recorder: Recorder, owner: str = "one", timings: ReaderTimings = QUICK
) -> AsyncIterator[MailboxReader]:
    ingester = Ingester(recorder, "mailbox", make_counter(CollectorRegistry()))
    reader = MailboxReader(where, make_tls_context(where), redis, ingester, owner, timings, draw=lambda: 0)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(recorder: Recorder, count: int, within_s: float = 60) -> None:
    async def has() -> bool:
        return len(recorder.kept) >= count

    await eventually(has, within_s)


async def until_read(redis: Redis) -> None:
    """Wait until the reader has noted how far it is: by then it has marked what it took."""

    async def has() -> bool:
        return bool(await redis.call("EXISTS", CURSOR_KEY))

    await eventually(has, 60)


def flags(server: Dovecot, user: str) -> dict[str, str]:
    """Return subject → the flags in the names of its Maildir (`S`: read; small letters are keywords)."""
    while True:
        files = (*server.messages(user, "new"), *server.messages(user))
        with contextlib.suppress(FileNotFoundError):  # the server has just renamed or removed one: list them again
            return {_read_subject(file): file.name.partition(":2,")[2] for file in files}


def _read_subject(file: Path) -> str:
    return file.read_bytes().split(b"Subject: ")[1].split(b"\r\n")[0].decode()


async def test_ours_is_taken_and_marked_and_the_rest_stays_unread(dovecot: Dovecot, redis: Redis, user: str) -> None:
    for subject in ("ours", "a person's", "holiday"):
        dovecot.deliver(user, message(subject))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 3)
        dovecot.deliver(user, message("ours, while it idles"))
        await until(recorder, 4)
        await eventually(lambda: _is(flags(dovecot, user).get("ours, while it idles", "").startswith("S")))
    assert flags(dovecot, user) == {"ours": "Sa", "a person's": "", "holiday": "", "ours, while it idles": "Sa"}


async def _is(value: object) -> object:
    return value


async def test_nothing_is_taken_twice_and_what_people_read_is_not_missed(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    dovecot.deliver(user, message("ours 1"))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1)
        await until_read(redis)
    dovecot.deliver(user, message("ours 2"))
    _read_all(dovecot, user)
    async with reading(at(dovecot, user), redis, recorder, "another"):
        await until(recorder, 2)
    assert recorder.subjects() == ["ours 1", "ours 2"]


async def test_in_the_senders_own_mailbox_only_bounces_of_ours_are_touched(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    """Of people's mail the headers are looked at, and no more; what was unread stays so."""
    people = [
        b"From: li@corp.cn\r\nTo: noreply@example.com\r\nSubject: Re: ours\r\n\r\nours\r\n",
        b"From: boss@corp.cn\r\nSubject: budget\r\nContent-Type: text/plain\r\n\r\nours\r\n",
    ]
    for raw in people:
        dovecot.deliver(user, raw)
    dovecot.deliver(user, message("a bounce of somebody else's"))
    _flag(dovecot, user, "budget")
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1)
        dovecot.deliver(user, message("ours"))
        await until(recorder, 2)
        await eventually(lambda: _is(flags(dovecot, user).get("ours") == "Sa"))
    assert recorder.subjects() == ["a bounce of somebody else's", "ours"]
    assert flags(dovecot, user) == {"Re: ours": "", "budget": "F", "a bounce of somebody else's": "", "ours": "Sa"}


@pytest.mark.parametrize("more", ["", "imap_capability {\n  MOVE = no\n}\n"])
async def test_bounces_are_moved_and_nothing_else_is(redis: Redis, user: str, more: str) -> None:
    with Dovecot(more=more) as server:
        for subject in ("ours 1", "a person's", "ours 2"):
            server.deliver(user, message(subject))
        _make_folder(server, user, "退信")
        recorder = Recorder()
        async with reading(at(server, user, move_to="退信"), redis, recorder):
            await eventually(lambda: _is(set(flags(server, user)) == {"a person's"}), 60)
            server.deliver(user, message("ours 3"))
            await eventually(lambda: _is(len(recorder.kept) == 4 and set(flags(server, user)) == {"a person's"}), 60)
        assert flags(server, user) == {"a person's": ""}
        assert _subjects(server, user, "退信") == ["ours 1", "ours 2", "ours 3"]


async def test_a_large_mailbox_is_looked_through_once_in_pages_and_by_headers(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    large = b"From: li@corp.cn\r\nSubject: news\r\n\r\n" + b"x" * 5_000
    for _ in range(imap.SEARCH_SIZE + 300):
        dovecot.deliver(user, large)
    dovecot.deliver(user, message("ours"))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1, within_s=60)
        await eventually(lambda: _reads_to(redis, imap.SEARCH_SIZE + 301), 60)
    (first,) = await _octets_sent(dovecot, user, sessions=1)
    assert first < 2_000_000, "the headers of 5,301 messages, of which the bodies have 26 MB"
    async with reading(at(dovecot, user), redis, recorder, "another"):
        dovecot.deliver(user, message("ours 2"))
        await until(recorder, 2)
    assert recorder.subjects() == ["ours", "ours 2"]
    _, second = await _octets_sent(dovecot, user, sessions=2)
    assert second < 20_000, "none of the old ones is looked at again"


async def _reads_to(redis: Redis, uid: int) -> bool:
    return any(kept.endswith(f" {uid}".encode()) for kept in await redis.call("HVALS", CURSOR_KEY))


async def _octets_sent(server: Dovecot, user: str, *, sessions: int) -> list[int]:
    """Wait until a user's sessions have ended; return what each was sent, as the server's log has it."""

    async def sent() -> list[int]:
        log = (server.folder / "log").read_text()
        found = [int(octets) for octets in re.findall(rf"imap\({user}\).* out=(\d+)", log)]
        return found if len(found) >= sessions else []

    await eventually(sent, 60)
    return await sent()


async def test_each_mailbox_is_read_by_itself(dovecot: Dovecot, redis: Redis, user: str) -> None:
    other, one_kept, other_kept = f"{user}-2", Recorder(), Recorder()
    dovecot.deliver(user, message("ours 1"))
    dovecot.deliver(other, message("ours 2"))
    async with reading(at(dovecot, user), redis, one_kept), reading(at(dovecot, other), redis, other_kept, "other"):
        await until(one_kept, 1)
        await until(other_kept, 1)
    assert (one_kept.subjects(), other_kept.subjects()) == (["ours 1"], ["ours 2"])


@contextlib.contextmanager
def _person(server: Dovecot, user: str) -> Iterator[Any]:
    """Yield a person's own connection to the mailbox."""
    from imapclient import IMAPClient  # noqa: PLC0415

    with IMAPClient("127.0.0.1", server.port, ssl=False) as person:
        person.login(user, PASSWORD)
        yield person


def _flag(server: Dovecot, user: str, subject: str) -> None:
    with _person(server, user) as person:
        person.select_folder("INBOX")
        person.add_flags(person.search(["SUBJECT", subject]), [b"\\Flagged"])


def _make_folder(server: Dovecot, user: str, name: str) -> None:
    with _person(server, user) as person:
        person.create_folder(name)


def _subjects(server: Dovecot, user: str, folder: str) -> list[str]:
    with _person(server, user) as person:
        person.select_folder(folder, readonly=True)
        found = person.fetch(person.search(), ["BODY.PEEK[HEADER.FIELDS (SUBJECT)]"])
        return sorted(
            next(v for k, v in mailbox.items() if k.startswith(b"BODY")).decode()[9:].strip()
            for mailbox in found.values()
        )


def _read_all(server: Dovecot, user: str) -> None:
    """Read everything, as a person does with a mail program."""
    with _person(server, user) as person:
        person.select_folder("INBOX")
        person.fetch(person.search(), ["BODY[]"])


async def test_where_uids_mean_other_messages_it_looks_back(dovecot: Dovecot, redis: Redis, user: str) -> None:
    dovecot.deliver(user, message("ours 1"))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1)
        await until_read(redis)
    (name,) = await redis.call("HKEYS", CURSOR_KEY)
    await redis.call("HSET", CURSOR_KEY, name, "17 4000")
    async with reading(at(dovecot, user), redis, recorder, "another"):
        await until(recorder, 2)
    assert recorder.subjects() == ["ours 1", "ours 1"], "twice, of which nothing happens twice"


async def test_a_folder_made_anew_is_read_from_its_beginning(dovecot: Dovecot, redis: Redis, user: str) -> None:
    recorder = Recorder()
    for subjects in (["ours 1", "ours 2"], ["ours 3"]):  # the second time its UID is one that was read
        with _person(dovecot, user) as person:
            if person.folder_exists("退信"):
                person.delete_folder("退信")
            person.create_folder("退信")
            for subject in subjects:
                person.append("退信", message(subject))
        before = len(recorder.kept)
        async with reading(at(dovecot, user, folder="退信"), redis, recorder, subjects[0]):
            await until(recorder, before + len(subjects))
            await until_read(redis)
    assert recorder.subjects() == ["ours 1", "ours 2", "ours 3"]


async def test_what_cannot_be_kept_is_waited_with(dovecot: Dovecot, redis: Redis, user: str) -> None:
    dovecot.deliver(user, message("ours"))
    recorder = Recorder(failures=[RetryLater("the broker is away")])
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1)
    assert recorder.subjects() == ["ours"]


async def test_a_mail_that_has_to_wait_delays_no_other_and_is_not_lost(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    """History may not know a message for a while: that is no reason to leave the others."""
    dovecot.deliver(user, message("ours, unknown for now"))
    recorder = Recorder(failures=[RetryLater("history does not know it yet") for _ in range(50)])
    async with reading(at(dovecot, user), redis, recorder):

        async def has_failed() -> bool:
            return len(recorder.failures) < 50

        await eventually(has_failed)
        recorder.late = b"unknown for now"
        for number in range(3):
            dovecot.deliver(user, message(f"ours {number}"))
        await until(recorder, 3)
    recorder.failures.clear()
    async with reading(at(dovecot, user), redis, recorder, "the next"):
        await until(recorder, 4)
    assert "ours, unknown for now" in recorder.subjects()


async def test_one_message_that_fails_does_not_stop_the_rest(
    dovecot: Dovecot, redis: Redis, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dovecot.deliver(user, message("ours, of death"))
    recorder = Recorder(failures=[ZeroDivisionError()])
    async with reading(at(dovecot, user), redis, recorder):
        await until_read(redis)
        dovecot.deliver(user, message("ours 2"))
        await until(recorder, 1)
    assert recorder.subjects() == ["ours 2"]
    assert flags(dovecot, user)["ours, of death"] == "", "left to people"
    assert "ZeroDivisionError" in "".join(capsys.readouterr())


async def test_an_unexpected_error_is_logged_and_does_not_end_the_sender(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    dovecot.deliver(user, message("ours"))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until_read(redis)
    for mailbox_name in await redis.call("HKEYS", CURSOR_KEY):
        await redis.call("HSET", CURSOR_KEY, mailbox_name, "no numbers")

    async with reading(at(dovecot, user), redis, recorder) as reader:  # whose end would end the test
        await eventually(lambda: _is("ValueError" in "".join(reader.warnings())))
        assert not reader.is_reading


async def test_of_a_large_message_the_beginning_is_enough(dovecot: Dovecot, redis: Redis, user: str) -> None:
    dovecot.deliver(user, message("ours", "x" * 3_000_000))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 1)
    assert len(recorder.kept[0]) == 1024 * 1024


async def test_many_are_taken_in_order(dovecot: Dovecot, redis: Redis, user: str) -> None:
    for number in range(30):
        dovecot.deliver(user, message(f"ours {number}"))
    recorder = Recorder()
    async with reading(at(dovecot, user), redis, recorder):
        await until(recorder, 30)
        await until_read(redis)
    assert sorted(recorder.subjects()) == sorted(f"ours {number}" for number in range(30))


async def test_one_reads_and_another_takes_over(dovecot: Dovecot, redis: Redis, user: str) -> None:
    one, other = Recorder(), Recorder()
    async with reading(at(dovecot, user), redis, one, "one") as first:
        await eventually(lambda: _is(first.is_reading))
        async with reading(at(dovecot, user), redis, other, "other") as second:
            dovecot.deliver(user, message("ours 1"))
            await until(one, 1)
            await until_read(redis)
            assert not second.is_reading
            (lease,) = await redis.call("KEYS", f"{LEASE_KEY}*")
            await redis.call("SET", lease, "killed")  # as if the holder had been killed just now
            pass_time(LEASE_S / 3)
            await eventually(lambda: _is(not first.is_reading), 60)
            assert not second.is_reading
            await redis.call("PEXPIRE", lease, 1)
            await eventually(lambda: _is(second.is_reading or first.is_reading), 60)
            dovecot.deliver(user, message("ours 2"))
            await until_any(one, other, 2)
    assert sorted(one.subjects() + other.subjects()) == ["ours 1", "ours 2"]


async def until_any(one: Recorder, other: Recorder, count: int) -> None:
    await eventually(lambda: _is(len(one.kept) + len(other.kept) >= count), 60)


async def test_a_server_that_goes_away_is_found_again(redis: Redis, user: str) -> None:
    recorder = Recorder()
    with Dovecot() as server:
        server.deliver(user, message("ours 1"))
        async with reading(at(server, user), redis, recorder) as reader:
            await until(recorder, 1)
            await until_read(redis)
            server.kill()
            await eventually(lambda: _is(reader.failure), 60)
            assert not reader.is_reading
            server.start()
            server.deliver(user, message("ours 2"))
            await until(recorder, 2)
            assert not reader.failure
    assert recorder.subjects() == ["ours 1", "ours 2"]


async def test_without_idle_it_looks_again_and_again(
    redis: Redis, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder()
    with Dovecot(more="imap_capability {\n  IDLE = no\n}\n") as server:
        async with reading(at(server, user), redis, recorder) as reader:
            await eventually(lambda: _is(reader.is_reading), 60)
            server.deliver(user, message("ours"))
            await until(recorder, 1)
    assert "idle=False" in "".join(capsys.readouterr())


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_with_tls(dovecot: Dovecot, redis: Redis, user: str, security: str) -> None:
    port = dovecot.tls_port if security == "tls" else dovecot.port
    where = at(dovecot, user, host="localhost", port=port, security=security, ca_file=dovecot.ca_file)
    dovecot.deliver(user, message("ours 1"))
    recorder = Recorder()
    async with reading(where, redis, recorder):
        await until(recorder, 1)
        dovecot.deliver(user, message("ours 2"))
        await until(recorder, 2)


async def test_a_wrong_password_is_explained_in_words_and_not_tried_again_at_once(
    dovecot: Dovecot, redis: Redis, user: str
) -> None:
    where = at(dovecot, user, password="wrong")
    before = dovecot_logins(dovecot)
    async with reading(where, redis, Recorder()) as reader:
        await eventually(lambda: _is(reader.failure))
        assert "授权码" in reader.warnings()[0]
        assert "wrong" not in reader.warnings()[0]
        (lease,) = await redis.call("KEYS", f"{LEASE_KEY}*")
        async with reading(where, redis, Recorder(), "another") as second:
            await redis.call("PEXPIRE", lease, LEASE_S * 1_000 // 2)
            pass_time(LEASE_S / 3)
            await eventually(lambda: _lives_longer(redis, lease, LEASE_S / 2))  # it is kept meanwhile
            assert not second.failure
    assert dovecot_logins(dovecot) - before == 1


async def _lives_longer(redis: Redis, key: str, seconds: float) -> bool:
    return bool(await redis.call("PTTL", key) > seconds * 1_000)


def dovecot_logins(server: Dovecot) -> int:
    return (server.folder / "log").read_text().count("auth failed")
