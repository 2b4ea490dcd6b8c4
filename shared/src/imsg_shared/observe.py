"""Logs as an event name and keys; no bodies, tokens or whole addresses in them."""

import logging
import sys
from typing import Any, Literal

import structlog

Log = structlog.typing.FilteringBoundLogger


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Set up logging of this process, libraries included, to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    # Our own lines go straight out: the way through the standard library's logging is half of what a line costs.
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("httpx", "httpcore", "asyncio", "aiosqlite", "mail.log", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Seven errors for every connection that can't be made; shared.rabbit says it once, with the reason.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def logger(name: str) -> Log:
    """Make the logger of a module."""
    found: Log = structlog.get_logger(name)
    return found


def shown(address: str) -> str:
    """Shorten an address for a log line: enough to recognise, too little to use."""
    name, at, domain = address.partition("@")
    return f"{name[:2]}…@{domain}" if at else f"{address[:4]}…{address[-2:]}"
