"""An erased person is in no table of history, in whatever order messages arrive."""

import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import func, select, text, update

from imsg_broker.port import Delivery
from imsg_contract.errors import Refusal
from imsg_contract.topology import DEAD
from imsg_contract.wire import Attachment, Change, Inbound, Job, Reference, Status
from imsg_history.attachments import AttachmentKey, Attachments
from imsg_history.content_retention import ContentRetention
from imsg_history.database import Database
from imsg_history.dead_letters import DeadLetters
from imsg_history.eraser import Eraser
from imsg_history.erasures import Erasures
from imsg_history.ids import rfc3339
from imsg_history.queries import TimePageQuery, V1MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.resending import Resends
from imsg_history.tables import attachments, dead, erasures, jobs, metadata
from imsg_history.tombstones import TombstoneStore
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_people.tombstones import Digests, Tombstone, Tombstones, append_to_file, read_file
from imsg_runtime.redis import Redis
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt

ADMIN = user("admin", role="admin")
BEFORE, AFTER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
RETENTION = timedelta(days=90)
DIGESTS = Digests((SecretStr("a key of tombstones"),))
MAIL = "Zhang.San@example.com"
PHONE = "+8613912345678"


@pytest.fixture
def stones(database: Database, redis: Redis, tmp_path: Path) -> TombstoneStore:
    """Return tombstones stored in the database, in Redis, and in a file."""
    return TombstoneStore(database, Tombstones(redis, DIGESTS), tmp_path / "tombstones")


async def record(database: Database, *batch: Any) -> None:  # noqa: ANN401  messages or deliveries
    """Record one batch."""
    keeper = BatchWriter(database, lambda: NOW, RETENTION, WriterMetrics(CollectorRegistry()), DIGESTS)
    await keeper.write([event if isinstance(event, Delivery) else make_delivery(event) for event in batch])


async def place_tombstone(stones: TombstoneStore, address: str, at: datetime = NOW) -> Tombstone:
    """Place the tombstone of an address."""
    stone = Tombstone(secrets.token_hex(16), DIGESTS.of(address), at)
    record = Change(actor="admin", action="erasure", target=stone.id, at=at)
    await stones.place(stone, "smtp", record)
    return stone


async def dump(database: Database) -> str:
    """Write out every row of every table."""
    lines = []
    for table in metadata.sorted_tables:
        found = await database.read(lambda connection, table=table: connection.execute(select(table)))  # type: ignore[misc]
        lines += [
            repr([value.decode(errors="replace") if isinstance(value, bytes) else value for value in row])
            for row in found
        ]
    return "\n".join(lines).lower()


async def holds(database: Database, address: str) -> bool:
    """Search all of it for an address, whatever its case."""
    return address.lower() in await dump(database)


async def read_messages(database: Database, of: Job) -> list[dict[str, Any]]:
    """Return a request's messages."""
    return (
        await MessageQuery(database).find_v1(V1MessagesQuery.model_validate({"id": of.request, "limit": "500"}), ADMIN)
    ).rows


def everything(to: str = MAIL) -> tuple[Job, Job, Job]:
    """Return jobs with an address: a single message, a list, and one without an outcome yet."""
    single = job(to=(to,), at=BEFORE, content={"subject": f"给 {to}", "text": "x"})
    listed = job(to=("li@example.com", to), at=BEFORE, content={"subject": "大家好", "text": "x"})
    waiting = job(to=(to,), at=BEFORE)
    return single, listed, waiting


async def test_erasures_are_listed_newest_first_without_the_person(database: Database, stones: TombstoneStore) -> None:
    listing = Erasures(database, stones, DIGESTS, lambda: AFTER, lambda: None)
    begun = [await listing.begin("smtp", f"zhang{n}@example.com", ADMIN) for n in range(3)]
    first = await listing.find(TimePageQuery.model_validate({"limit": "2"}))
    second = await listing.find(TimePageQuery.model_validate({"limit": "2", "cursor": first.next}))
    rows = [*first.rows, *second.rows]
    assert {row["id"] for row in rows} == set(begun)
    assert (len(first.rows), second.next) == (2, None)
    assert {(row["method"], row["state"], row["at"]) for row in rows} == {("smtp", "erasing", rfc3339(AFTER))}
    assert "example.com" not in str(rows)


@on_both_databases
async def test_every_table_is_emptied_of_a_person_and_what_counts_stays(
    database: Database, stones: TombstoneStore
) -> None:
    single, listed, waiting = everything()
    said: dict[str, Any] = {"detail": f"250 <{MAIL}> ok", "provider_id": "p-1"}
    lonely = make_delivery(job(to=(MAIL,), at=BEFORE), DEAD, reason="broke")
    broken = make_delivery(f'{{"to": "{MAIL}"'.encode(), DEAD, reason="unreadable")
    await record(database, single, listed, waiting, outcome(single, Status.SENT, **said), lonely, broken)
    await record(database, outcome(listed, Status.SENT, n=0), outcome(listed, Status.FAILED, n=1, detail=f"550 {MAIL}"))
    await record(database, receipt(outcome(single, Status.SENT, provider_id="p-9"), MAIL))
    await Attachments(database).put(AttachmentKey(single.request, _sha(b"to them")), b"to them", AFTER)
    assert await holds(database, MAIL)

    stone = await place_tombstone(stones, MAIL.swapcase())
    assert await Eraser(database, DIGESTS).erase([stone]) == 4
    assert await Eraser(database, DIGESTS).erase([stone]) == 0

    assert not await holds(database, MAIL)
    assert not await holds(database, "to them")
    (message,) = await read_messages(database, single)
    assert (message["method"], message["provider"], message["status"], message["to"]) == (
        "smtp",
        "mail.example.com",
        "sent",
        None,
    )
    assert (message["updated_at"], message["provider_id"]) == ("2026-11-01T00:00:00.000Z", None)
    assert [message["status"] for message in await read_messages(database, listed)] == ["sent", "failed"]
    assert (await read_messages(database, listed))[0]["content"] == {"subject": "大家好", "text": "x"}
    (never,) = await read_messages(database, waiting)
    assert (never["status"], never["error"]) == ("failed", {"code": "erased", "detail": None})


@on_both_databases
async def test_what_arrives_late_is_not_recorded_of_who_was_erased_since(
    database: Database, stones: TombstoneStore
) -> None:
    """In any order, in one batch or in many."""
    single, listed, waiting = everything()
    await place_tombstone(stones, MAIL)
    said = outcome(single, Status.SENT, detail=f"250 <{MAIL}>", provider_id="p-1")
    await record(database, said)
    await record(database, single)
    await record(database, listed, waiting, outcome(listed, Status.RETRYING, n=1, detail=MAIL))
    await record(database, outcome(waiting, Status.FAILED, code="erased", detail=MAIL))
    await record(
        database, make_delivery(listed, DEAD, reason="broke"), make_delivery(f"? {MAIL}".encode(), DEAD, reason="no")
    )
    await record(database, receipt(said, MAIL))

    assert not await holds(database, MAIL)
    assert [message["status"] for message in await read_messages(database, single)] == ["sent"]
    assert [message["to"] for message in await read_messages(database, listed)] == ["li@example.com", None]
    assert [message["status"] for message in await read_messages(database, waiting)] == ["failed"]


async def test_what_is_accepted_after_an_erasure_is_recorded_whole(database: Database, stones: TombstoneStore) -> None:
    stone = await place_tombstone(stones, MAIL)
    new = job(to=(MAIL,), at=AFTER)
    sent = outcome(new, Status.SENT, provider_id="p-1")
    await record(database, new, sent)
    await record(database, receipt(sent, MAIL))
    await Eraser(database, DIGESTS).erase([stone])
    (message,) = await read_messages(database, new)
    assert (message["to"], message["status"]) == (MAIL, "delivered")


async def test_a_receipt_that_comes_before_its_outcome_finds_a_message_of_the_new_relation(
    database: Database, stones: TombstoneStore
) -> None:
    await place_tombstone(stones, PHONE)
    new = job(to=(PHONE,), at=AFTER, method="sms", content="x")
    sent = outcome(new, Status.SENT, provider_id="p-1")
    await record(database, receipt(sent, PHONE))
    assert not await holds(database, PHONE)
    await record(database, new, sent)
    assert [message["status"] for message in await read_messages(database, new)] == ["delivered"]


async def test_a_text_that_names_its_recipient_goes_from_a_list_too(database: Database, stones: TombstoneStore) -> None:
    sha = "a" * 64
    named = job(to=("li@example.com", MAIL), at=BEFORE, content={"subject": "您好", "text": f"转告 {MAIL.upper()}。"})
    filed = job(
        to=("li@example.com", MAIL),
        at=BEFORE,
        attachments=(Attachment(sha256=sha, size=1, filename=f"{MAIL}.pdf", type="application/pdf"),),
    )
    await record(
        database, named, filed, *(outcome(sent_job, Status.SENT, n=n) for sent_job in (named, filed) for n in (0, 1))
    )
    await Eraser(database, DIGESTS).erase([await place_tombstone(stones, MAIL)])
    assert not await holds(database, MAIL)
    assert {message["to"]: message["content"] for message in await read_messages(database, named)} == {
        "li@example.com": None,
        None: None,
    }


@pytest.mark.parametrize(
    "written", ["139 1234 5678", "+86 139-1234-5678", "%2B8613912345678", "１３９１２３４５６７８"]
)
async def test_a_number_is_found_however_texts_providers_and_other_people_write_it(
    database: Database, stones: TombstoneStore, written: str
) -> None:
    listed = job(to=("+8613711112222", PHONE), at=BEFORE, reference=f"order {written}", method="sms")
    last = outcome(listed, Status.FAILED, n=0, detail=f"after {written}")
    told = Inbound(
        method="sms",
        provider="aliyun",
        id="1",
        address="+8613711112222",
        text=f"请打 {written}",
        at=NOW - timedelta(minutes=9),
    )
    await record(database, listed, outcome(listed, Status.SENT, n=1), last, told)
    assert await holds(database, written)
    await Eraser(database, DIGESTS).erase([await place_tombstone(stones, PHONE)])
    assert not await holds(database, written)


async def test_the_job_of_a_list_goes_on_without_them(database: Database, stones: TombstoneStore) -> None:
    _, listed, waiting = everything()
    await record(database, listed, waiting)
    await Eraser(database, DIGESTS).erase([await place_tombstone(stones, MAIL)])
    found = (await database.read(lambda connection: connection.execute(select(jobs)))).all()
    assert [row.request for row in found] == [listed.request]
    assert [recipient.address for recipient in Job.model_validate_json(found[0].body).recipients] == ["li@example.com"]


async def test_texts_about_others_are_erased_where_they_name_the_person(
    database: Database, stones: TombstoneStore
) -> None:
    """What another recipient brings, a provider's words of them, a part of a list that died: before and after."""
    chunks = [
        job(to=("li@example.com", MAIL), at=BEFORE, reference=f"order-for-{MAIL}", content={"text": f"n\n{MAIL}"})
        for _ in range(2)
    ]
    own = {"reference": f"about-{MAIL}", "params": {"contact": MAIL}}
    chunks = [
        chunk.model_copy(update={"recipients": (chunk.recipients[0].model_copy(update=own), chunk.recipients[1])})
        for chunk in chunks
    ]
    said: dict[str, Any] = {"n": 0, "detail": f"550 <{MAIL}> is over quota"}
    for listed in chunks:
        dead_part = listed.model_copy(update={"chunk": 0, "recipients": listed.recipients[:1]})
        letter = make_delivery(dead_part, DEAD, reason="broke", queue="imsg.smtp.bulk")
        if listed is chunks[1]:
            await Eraser(database, DIGESTS).erase([await place_tombstone(stones, MAIL)])
        await record(database, listed, outcome(listed, Status.RETRYING, **said))
        await record(database, outcome(listed, Status.FAILED, attempt=2, **said), letter)
        await record(database, outcome(listed, Status.FAILED, attempt=2, n=1))

    assert not await holds(database, MAIL)
    for listed in chunks:
        assert [(message["to"], message["status"]) for message in await read_messages(database, listed)] == [
            ("li@example.com", "failed"),
            (None, "failed"),
        ]


async def test_a_long_content_and_a_file_that_name_the_person_go_once_the_others_have_theirs(
    database: Database, stones: TombstoneStore
) -> None:
    text, file, other = f"转告 {MAIL}".encode(), f"name;{MAIL}\n".encode(), b"of everybody"
    long = job(
        to=("li@example.com", MAIL),
        at=BEFORE,
        content=None,
        content_at=Reference(sha256=_sha(text), size=len(text)),
        attachments=[
            Attachment(sha256=_sha(body), size=len(body), filename="a.csv", type="text/csv") for body in (file, other)
        ],
    )
    for body in (text, file, other):
        await Attachments(database).put(AttachmentKey(long.request, _sha(body)), body, AFTER)
    await record(database, long, outcome(long, Status.SENT, n=1))
    stone = await place_tombstone(stones, MAIL)
    eraser = Eraser(database, DIGESTS)

    await eraser.erase([stone])
    assert await Attachments(database).get(AttachmentKey(long.request, _sha(text))) == text, "it is still to be sent"
    await record(database, outcome(long, Status.SENT, n=0))
    assert await eraser.erase_bodies([stone]) == 2

    assert not await holds(database, MAIL)
    assert await Attachments(database).get(AttachmentKey(long.request, _sha(other))) == other


async def test_an_erasure_changes_no_other_person(database: Database, stones: TombstoneStore) -> None:
    single, listed, waiting = everything("li@example.com")
    await record(database, single, listed, waiting, outcome(single, Status.SENT, provider_id="p-1"))
    before = await dump(database)
    stone = await place_tombstone(stones, MAIL)
    await Eraser(database, DIGESTS).erase([stone])
    assert set(before.splitlines()) <= set((await dump(database)).splitlines())


async def test_nothing_is_sent_again_to_who_was_erased(database: Database, stones: TombstoneStore) -> None:
    _, listed, _ = everything()
    await record(database, listed, outcome(listed, Status.FAILED, n=0), outcome(listed, Status.FAILED, n=1))
    await Eraser(database, DIGESTS).erase([await place_tombstone(stones, MAIL)])
    draft = await Resends(database).draft(listed.request, ADMIN, uncertain=False, again=False)
    assert [recipient["address"] for recipient in draft["recipients"]] == ["li@example.com"]
    with pytest.raises(Refusal, match="nothing_to_resend"):
        await Resends(database).draft(f"{listed.request}-1", ADMIN, uncertain=True, again=False)


@on_both_databases
async def test_a_long_list_is_gone_through_in_slices(database: Database, stones: TombstoneStore) -> None:
    many = [job(to=(*(f"u{n}@example.com" for n in range(1_200)), MAIL), at=BEFORE) for _ in range(3)]
    await record(database, *many)
    assert await Eraser(database, DIGESTS).erase([await place_tombstone(stones, MAIL)]) == 3
    assert not await holds(database, MAIL)


# --- where tombstones stand


@on_both_databases
async def test_a_database_of_before_an_erasure_learns_of_it_from_redis_and_from_the_file(
    database: Database, stones: TombstoneStore, redis: Redis, tmp_path: Path
) -> None:
    stone = await place_tombstone(stones, MAIL)
    other = Tombstone(secrets.token_hex(16), DIGESTS.of(PHONE), NOW)
    assert await stones.synchronize() == set()
    await _forget(database)
    append_to_file(tmp_path / "tombstones", [other])

    restored = TombstoneStore(database, Tombstones(redis, DIGESTS), tmp_path / "tombstones")
    assert await restored.synchronize() == set()

    assert set(await restored.list_all()) == {stone.id, other.id}
    assert set(await Tombstones(redis, DIGESTS).read()) == {stone.digest, other.digest}
    rows = (await database.read(lambda connection: connection.execute(select(erasures)))).all()
    assert {(row.id, row.state) for row in rows} == {(stone.id, "tables"), (other.id, "tables")}


async def test_an_emptied_redis_gets_its_tombstones_back(stones: TombstoneStore, redis: Redis) -> None:
    stone = await place_tombstone(stones, MAIL)
    await stones.synchronize()
    await redis.call("FLUSHDB")
    await stones.synchronize()
    assert set(await Tombstones(redis, DIGESTS).read()) == {stone.digest}


async def test_half_a_line_of_the_file_is_no_tombstone(tmp_path: Path) -> None:
    file = tmp_path / "tombstones"
    stone = Tombstone("1" * 32, "2" * 64, NOW)
    append_to_file(file, [stone])
    with file.open("a") as opened:
        opened.write("3" * 32 + " " + "4" * 64 + " 17")
    assert read_file(file) == [stone]
    assert file.stat().st_mode & 0o077 == 0


async def test_a_file_that_can_not_be_written_is_reported_and_stops_nothing(
    database: Database, redis: Redis, tmp_path: Path
) -> None:
    stones = TombstoneStore(database, Tombstones(redis, DIGESTS), tmp_path / "nowhere" / "tombstones")
    stone = await place_tombstone(stones, MAIL)
    assert await stones.synchronize() == {"file"}
    assert set(await Tombstones(redis, DIGESTS).read()) == {stone.digest}


# --- contents before rows


@on_both_databases
async def test_contents_go_before_rows(database: Database) -> None:
    old, young = job(at=NOW - timedelta(days=31)), job(at=NOW - timedelta(days=29))
    long = job(
        at=NOW - timedelta(days=40), content=None, content_at=Reference(sha256=_sha(b'{"subject": "s"}'), size=16)
    )
    open_ = job(at=NOW - timedelta(days=35))
    letter = make_delivery(job(at=NOW - timedelta(days=33)), DEAD, reason="broke")
    await Attachments(database).put(AttachmentKey(long.request, _sha(b'{"subject": "s"}')), b'{"subject": "s"}', AFTER)
    await record(database, old, young, long, open_, letter)
    await record(database, *(outcome(sent_job, Status.FAILED) for sent_job in (old, young, long)))
    long_ago = update(dead).values(at=NOW - timedelta(days=33))
    await database.write(lambda connection: connection.execute(long_ago))

    contents = ContentRetention(database, 30)
    await contents.erase(NOW, RETENTION)
    await contents.erase(NOW + timedelta(minutes=1), RETENTION)

    assert [
        (message["content"], message["subject"], message["status"]) for message in await read_messages(database, old)
    ] == [(None, None, "failed")]
    assert [message["content"] for message in await read_messages(database, young)] == [young.content]
    assert [message["content"] for message in await read_messages(database, open_)] == [open_.content], (
        "it is to be sent still"
    )
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(attachments))) == 0
    (remaining_letter,) = (await DeadLetters(database).find(TimePageQuery())).rows
    assert (await DeadLetters(database).show(remaining_letter["id"], ADMIN))["body"] == ""
    for name in (old.request, long.request):
        with pytest.raises(Refusal, match="content_erased"):
            await Resends(database).draft(name, ADMIN, uncertain=False, again=False)


async def test_what_comes_late_goes_within_a_day(database: Database) -> None:
    contents = ContentRetention(database, 30)
    await contents.erase(NOW, RETENTION)
    late = job(at=NOW - timedelta(days=60))
    await record(database, late, outcome(late, Status.SENT))
    assert await contents.erase(NOW + timedelta(days=1), RETENTION) == 1


async def _forget(database: Database) -> None:
    """Reset the database to its state before any erasure."""

    async def work(connection: Any) -> None:  # noqa: ANN401
        for table in ("tombstones", "erasures"):
            await connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608

    await database.write(work)


def _sha(body: bytes) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(body).hexdigest()
