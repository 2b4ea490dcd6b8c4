"""Logs as an event name and keys; no bodies, tokens or whole addresses in them."""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, TextIO

import structlog

from imsg_runtime.masking import mask_line

CHATTY = ("httpx", "httpcore", "asyncio", "aiosqlite", "imapclient", "alembic", "uvicorn", "websockets")
"""Libraries that log URLs and headers at INFO."""

LEVEL_WIDTH = 9
"""The longest level that structlog pads the others to, `exception`."""

_NEEDS_QUOTES = re.compile(r"[ \t=\r\n\"']")

Log = structlog.typing.FilteringBoundLogger


class HeldLines:
    """A stream that keeps what is written until `release`, so that a process can print its addresses first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: list[str] | None = []

    def write(self, text: str) -> None:
        """Write to the stream, or keep the text for later."""
        if self._held is None:
            self._stream.write(text)
        else:
            self._held.append(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def release(self) -> None:
        """Write what was kept, in order, and keep nothing from now on."""
        held, self._held = self._held, None
        self._stream.writelines(held or ())
        self._stream.flush()


def configure(level: str, form: Literal["text", "json"], stream: HeldLines | None = None) -> None:
    """Set up logging of this process, libraries included, to a stream; without one, to standard error."""
    to: Any = stream or sys.stderr
    stamps: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    merge = structlog.contextvars.merge_contextvars
    renderer: Any = structlog.processors.JSONRenderer(ensure_ascii=False) if form == "json" else _make_text_renderer()
    # Our own lines go straight out: the way through the standard library's logging is half of what a line costs.
    structlog.configure(
        processors=[merge, structlog.processors.format_exc_info, hide_secrets, *stamps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(to),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[merge, *stamps],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                hide_secrets,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries stay at INFO: at DEBUG they log cookies, passwords and what people type.
    root.setLevel("INFO" if level == "DEBUG" else level)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # aiosmtpd logs each protocol error of each client.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    # pika logs seven errors for each failed connection; broker.rabbitmq logs one, with the reason.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _make_text_renderer() -> structlog.dev.ConsoleRenderer:
    """Return structlog's renderer for people: in colours at a terminal, else the same text in a third of the time."""
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(pad_event_to=0)
    column = structlog.dev.Column
    return structlog.dev.ConsoleRenderer(
        columns=[
            column("", lambda name, value: f"{name}={_quote(value)}"),
            column("timestamp", lambda _, value: str(value)),
            column("level", lambda _, value: f"[{value:<{LEVEL_WIDTH}}]"),
            column("event", lambda _, value: str(value)),
        ],
        exception_formatter=structlog.dev.plain_traceback,
    )


def _quote(value: object) -> str:
    return value if isinstance(value, str) and not _NEEDS_QUOTES.search(value) else repr(value)


def hide_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what may be a secret in each value of a line; a processor of structlog."""
    for name, value in event.items():
        event[name] = _mask(value)
    return event


def _mask(value: Any) -> Any:  # noqa: ANN401  whatever is logged
    match value:
        case str():
            return mask_line(value)
        case list() | tuple():
            return [_mask(item) for item in value]
        case dict():
            return {name: _mask(item) for name, item in value.items()}
    return value


def logger(name: str) -> Log:
    """Return the logger of a module."""
    found: Log = structlog.get_logger(name)
    return found


def bind(**values: str) -> None:
    """Add keys to each further line of this task and of those that it starts."""
    structlog.contextvars.bind_contextvars(**values)


def bound(**values: str) -> AbstractContextManager[None]:
    """Add keys to each line within the context."""
    return structlog.contextvars.bound_contextvars(**values)


MAX_WHY = 500
"""The most characters of a reason that are logged."""

MAX_WHYS = 16
"""The most reasons of one problem that are logged."""

QUIET_S = 10.0
"""How long concurrent calls must have had no failure before their problem is over."""


class RecurringProblem:
    """A problem that recurs in a loop or in calls: logged when it begins, for each new reason, and when it is over.

    Make one before the loop, `report` each failure, and `clear` it after each success; `catch` does both. Concurrent
    calls fail and succeed in turn: with `quiet_s` the problem is over only when none has failed for so long.
    """

    def __init__(
        self,
        log: Log,
        event: str,
        *,
        level: Literal["info", "warning"] = "warning",
        quiet_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        **keys: object,
    ) -> None:
        self._log = log
        self._quiet_s = quiet_s
        self._clock = clock
        self._reported_at = 0.0
        self._event = event
        self._level = level
        self._keys = keys
        self._whys: set[str] = set()
        self._times = 0

    def report(self, why: object, **keys: object) -> None:
        """Log the problem where its reason is new, with how often it has occurred; else count it."""
        if self._quiet_s:
            self.clear()
        self._reported_at = self._clock()
        self._times += 1
        words = (str(why) or type(why).__name__)[:MAX_WHY]
        if words in self._whys or len(self._whys) >= MAX_WHYS:
            return
        self._whys.add(words)
        shown = {**self._keys, **keys, "why": words} | ({"times": self._times} if self._times > 1 else {})
        (self._log.info if self._level == "info" else self._log.warning)(self._event, **shown)

    def clear(self) -> None:
        """Log that the problem is over, and how often it occurred; do nothing without one, or before `quiet_s`."""
        if self._times and self._clock() - self._reported_at >= self._quiet_s:
            self._log.info(f"{self._event}_over", **self._keys, times=self._times)
            self._times = 0
            self._whys.clear()

    @contextmanager
    def catch(self, *errors: type[Exception], **keys: object) -> Iterator[None]:
        """Suppress and record one of `errors` that the block raises; clear the problem after a block without one."""
        try:
            yield
        except errors as error:
            self.report(error, **keys)
        else:
            self.clear()
