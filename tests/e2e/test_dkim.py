"""`imsg dkim new`, and mail signed with its key."""

from pathlib import Path

import dkim
from pydantic import SecretStr

from imsg_contract.results import Sent
from imsg_smtp.main import Smtp, open_channel
from imsg_testing.command_line import Ended, run_imsg
from imsg_testing.jobs import make_job
from imsg_testing.service import environment
from imsg_testing.smtp_server import smtp_server
from imsg_web import service_client


def _new(folder: Path, *words: str) -> Ended:
    return run_imsg("dkim", "new", *words, env=environment({}), cwd=folder)


async def test_mail_is_signed_by_what_was_made_and_verified_by_what_was_printed(tmp_path: Path) -> None:
    done = _new(tmp_path, "example.com", "--selector", "s1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    records = {
        name.encode(): rest.strip("( )").replace('" "', "").strip('"').encode()
        for line in lines
        if " IN TXT " in line
        for name, rest in [line.split(" IN TXT ")]
    }
    assert set(records) == {b"s1._domainkey.example.com.", b"s1-ed25519._domainkey.example.com."}
    assert all(record.decode() in lines for record in records.values())
    prefix = "IMSG_SMTP__DKIM__"
    given = dict(line.removeprefix(prefix).split("=") for line in lines if line.startswith(prefix))
    for file in (tmp_path / "dkim").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600

    job = make_job("li@example.net")
    async with smtp_server() as server, service_client.connect("http://h", (SecretStr("key"),), {}) as history:
        keys = {name.lower(): value for name, value in given.items()}
        smtp = Smtp.model_validate(
            {"host": server.host, "port": server.port, "sender": "天存 <noreply@example.com>", "dkim": keys}
        )
        async with open_channel(smtp, history) as channel:
            prepared = await channel.prepare(job)
            results = await channel.deliver(job, prepared, job.recipients)  # type: ignore[arg-type]
        assert isinstance(results[0], Sent)
        verifier = dkim.DKIM(server.mails[0].data)
        for place in range(2):
            assert verifier.verify(idx=place, dnsfunc=lambda name, timeout: records[name])  # noqa: ARG005


def test_keys_that_are_there_are_left_alone(tmp_path: Path) -> None:
    assert _new(tmp_path, "example.com", "--selector", "s1").returncode == 0
    kept = {file: file.read_bytes() for file in (tmp_path / "dkim").iterdir()}
    again = _new(tmp_path, "example.com", "--selector", "s1")
    assert again.returncode == 2
    assert "another --selector" in again.stderr
    assert {file: file.read_bytes() for file in (tmp_path / "dkim").iterdir()} == kept


def test_a_name_that_is_not_a_domain_is_refused(tmp_path: Path) -> None:
    assert "is not a domain" in _new(tmp_path, "例子.中国").stderr
    assert "selector" in _new(tmp_path, "example.com", "--selector", "S_1").stderr
