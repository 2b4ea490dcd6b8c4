"""A state that lasts is logged when it changes, not at each message or turn (`imsg_runtime.logs.RecurringProblem`)."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

ONCE_A_MESSAGE = {"catalog/src/imsg_catalog/consumer.py": "dead_lettered"}
"""What is logged once for each message that a loop goes through: file → the event."""

EVENTS = {
    "callbacks/src/imsg_callbacks/main.py": "secrets_not_resealed",
    "gateway/src/imsg_gateway/channels.py": "change_not_published",
    "history/src/imsg_history/main.py": "tombstones_delayed",
    "sender-sms/src/imsg_sms/opt_out_events.py": "opt_out_not_published",
    "sender-wechat/src/imsg_wechat/audit.py": "change_not_published",
    "shared/broker/src/imsg_broker/redis_streams/consumer.py": "hand_back_failed",
}
"""What is logged at a start or an end, or once for each change that is lost: file → the event."""

UNAVAILABLE = {"DatabaseUnavailable", "RedisUnavailable", "RedisRefused", "ServiceUnavailable", "PublishRefused"} | {
    "PublishUnknown", "BrokerUnavailable", "RETRY_LATER", "RetryLater", "REDIS_ERRORS", "UNAVAILABLE",
}  # fmt: skip
"""The exceptions of a dependency that is away."""


def find_logging(handlers: Iterator[ast.ExceptHandler]) -> Iterator[tuple[str, int]]:
    """Find the log lines in handlers: event, line."""
    for handler in handlers:
        for call in (node for node in ast.walk(handler) if isinstance(node, ast.Call)):
            match call.func:
                case ast.Attribute(ast.Name("log"), "info" | "warning" | "error"):
                    yield str(call.args[0].value if isinstance(call.args[0], ast.Constant) else "?"), call.lineno


@cache
def read_sources() -> list[tuple[str, ast.Module]]:
    """Parse every module of the services that handles an exception: path, tree."""
    return [
        (str(path.relative_to(ROOT)), ast.parse(text))
        for path in sorted(ROOT.glob("*/src/**/*.py")) + sorted(ROOT.glob("shared/*/src/**/*.py"))
        if not (path.is_relative_to(ROOT / "tests") or path.is_relative_to(ROOT / "bench"))
        if "except" in (text := path.read_text("utf-8"))
    ]


def find_handlers(tree: ast.AST) -> Iterator[ast.ExceptHandler]:
    """Find what handles exceptions in a tree."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))


def test_no_loop_logs_the_same_failure_each_time() -> None:
    matches = {
        (file, event, line)
        for file, tree in read_sources()
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While)
        for event, line in find_logging(find_handlers(loop))
        if ONCE_A_MESSAGE.get(file) != event
    }
    assert matches == set()


def test_no_message_logs_that_a_dependency_is_away() -> None:
    """The log of a second of 500 requests without Redis would have 500 lines."""
    handlers = {
        file: [
            handler
            for handler in find_handlers(tree)
            if handler.type is not None
            and UNAVAILABLE & {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
        ]
        for file, tree in read_sources()
    }
    assert sum(map(len, handlers.values())) > 100
    matches = {
        (file, event, line)
        for file, found in handlers.items()
        for event, line in find_logging(iter(found))
        if EVENTS.get(file) != event
    }
    assert matches == set()
