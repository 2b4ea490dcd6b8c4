"""The real servers of the tests, each private to its run: own ports, own data, started and ended by process id."""

from imsg_testing.servers.dovecot import Dovecot
from imsg_testing.servers.pgbouncer import PgBouncer
from imsg_testing.servers.ports import accepts, ask, reserve_port
from imsg_testing.servers.postfix import Postfix
from imsg_testing.servers.postgres import Pair, Postgres, run_pair
from imsg_testing.servers.prometheus import Alertmanager, Prometheus
from imsg_testing.servers.rabbit import Rabbit
from imsg_testing.servers.rabbit_cluster import RabbitCluster
from imsg_testing.servers.server import MissingServerError, Server, find_program
from imsg_testing.servers.valkey import Valkey

__all__ = [
    "Alertmanager",
    "Dovecot",
    "MissingServerError",
    "Pair",
    "PgBouncer",
    "Postfix",
    "Postgres",
    "Prometheus",
    "Rabbit",
    "RabbitCluster",
    "Server",
    "Valkey",
    "accepts",
    "ask",
    "find_program",
    "reserve_port",
    "run_pair",
]
