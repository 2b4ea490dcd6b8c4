"""Logs a bug under a number that a page shows."""

import secrets

from imsg_runtime.logs import logger

log = logger(__name__)


def log_bug(error: BaseException) -> str:
    """Log a bug with its traceback; return its number."""
    trace = secrets.token_hex(4)
    log.error("bug", trace=trace, exc_info=error)
    return trace
