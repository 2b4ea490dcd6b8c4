"""Which files of tests are begun first: those that take longest, since a file is one worker's."""

DEAREST = (
    "tests/browser/test_every_page.py",
    "tests/e2e/test_life_and_death.py",
    "tests/fault/test_cluster.py",
    "tests/contract/test_openapi.py",
    "tests/fault/test_postgres_pair.py",
    "tests/fault/test_sentinel.py",
    "tests/fault/test_edge.py",
    "tests/architecture/test_patterns.py",
    "tests/contract/test_postgres_failover.py",
    "tests/contract/test_redis_failover.py",
    "tests/e2e/test_backup.py",
    "tests/fault/test_quick.py",
    "tests/e2e/test_command_line.py",
    "tests/browser/test_message_list.py",
    "tests/browser/test_message_pages.py",
    "tests/contract/test_worker_crash.py",
    "tests/contract/test_history_order.py",
    "tests/contract/test_history_finding.py",
    "tests/contract/test_brokers.py",
    "tests/contract/test_worker.py",
    "tests/contract/test_worker_asking.py",
    "tests/browser/test_docs.py",
    "tests/browser/test_send_form.py",
    "tests/browser/test_drafts.py",
    "tests/browser/test_newcomer.py",
    "tests/e2e/test_erasure.py",
    "tests/e2e/test_doctor.py",
    "tests/e2e/test_bounds.py",
    "tests/e2e/test_first_message.py",
    "tests/e2e/test_erasure_apart.py",
    "tests/e2e/test_decisions_of_send.py",
    "tests/contract/test_auth_stores.py",
    "tests/contract/test_history_replicas.py",
    "tests/contract/test_rights.py",
    "tests/browser/test_sandbox_pages.py",
    "tests/browser/test_channel_pages.py",
    "tests/browser/test_safety.py",
    "shared/runtime/tests/test_watchdog.py",
    "sender-smtp/tests/test_connections.py",
    "console/tests/test_recipients.py",
)
"""About the longest first, as `pytest --durations=0` tells them; before these, with whom the others of its stack go."""


def rank(file: str) -> int:
    """Tell how early a file is begun; the others stay in their order."""
    return DEAREST.index(file) if file in DEAREST else len(DEAREST)
