"""The servers of the tests themselves: private, restartable with their data, gone with the run."""

import psycopg
import redis

from imsg_testing.servers import Postgres, Rabbit, Server, Valkey, accepts


def test_valkey_keeps_its_data_over_a_crash() -> None:
    with Valkey() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("key", "value")
        server.restart()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("key") == b"value"


def test_postgres_keeps_its_data_over_a_crash() -> None:
    with Postgres() as server:
        url = server.create_database("one")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
        server.restart()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchone() == (1,)


def test_every_test_has_a_database_of_its_own(postgres_database: str, postgres_url: str) -> None:
    assert postgres_database != postgres_url
    with psycopg.connect(postgres_database) as connection:
        assert connection.execute("SELECT count(*) FROM pg_stat_user_tables").fetchone() == (0,)


def test_rabbit_is_reached_with_its_management_interface(rabbit: Rabbit) -> None:
    assert accepts(rabbit.amqp_port)
    assert accepts(rabbit.management_port)


def test_a_server_ends_with_its_processes(valkey: Server) -> None:
    with Valkey() as server:
        process = server.process
        folder = server.folder
    assert not process.runs
    assert not folder.exists()
    assert valkey.process.runs
