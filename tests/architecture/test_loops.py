"""A loop that fails again and again logs the failure once (`imsg_runtime.logs.RecurringProblem`)."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

ONCE_A_MESSAGE = {
    "catalog/src/imsg_catalog/consumer.py": "dead_lettered",
    "gateway/src/imsg_gateway/accept.py": "not_accepted",
}
"""What is logged once for each message or request that a loop goes through: file → the event."""


def find_repeated() -> Iterator[tuple[str, str, int]]:
    """Find log lines in an `except` within a `while`: file, event, line."""
    for path in sorted(ROOT.glob("*/src/**/*.py")) + sorted(ROOT.glob("shared/*/src/**/*.py")):
        if path.is_relative_to(ROOT / "tests") or path.is_relative_to(ROOT / "bench"):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for loop in (node for node in ast.walk(tree) if isinstance(node, ast.While)):
            for handler in (node for node in ast.walk(loop) if isinstance(node, ast.ExceptHandler)):
                for call in (node for node in ast.walk(handler) if isinstance(node, ast.Call)):
                    match call.func:
                        case ast.Attribute(ast.Name("log"), "info" | "warning" | "error"):
                            event = call.args[0].value if isinstance(call.args[0], ast.Constant) else "?"
                            yield str(path.relative_to(ROOT)), str(event), call.lineno


def test_no_loop_logs_the_same_failure_each_time() -> None:
    matches = {(file, event, line) for file, event, line in find_repeated() if ONCE_A_MESSAGE.get(file) != event}
    assert matches == set()
