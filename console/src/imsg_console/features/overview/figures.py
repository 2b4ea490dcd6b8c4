"""Counts of messages, as the overview draws them: by method, over an hour, a day, a week or a month."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from imsg_channels import METHODS

KINDS: Mapping[str, tuple[str, ...]] = {
    "delivered": ("delivered",),
    "sent": ("sent",),
    "waiting": ("scheduled", "held", "queued", "retrying"),
    "uncertain": ("uncertain",),
    "failed": ("failed", "expired"),
}
"""Kind → its statuses, in the order in which the bars are stacked."""

COLOURS: Mapping[str, str] = {
    "delivered": "--good",
    "sent": "--main",
    "waiting": "--calm",
    "uncertain": "--warn",
    "failed": "--bad",
}


@dataclass(frozen=True, slots=True)
class Range:
    """How far back the overview looks."""

    name: str
    bucket: str
    back: timedelta
    """From now to the first bucket, which is whole."""

    def find_start(self, now: datetime) -> datetime:
        """Return the beginning of the first bucket, in the zone of `now`."""
        start = (now - self.back).replace(minute=0, second=0, microsecond=0)
        return start if self.bucket == "hour" else start.replace(hour=0)


RANGES: Mapping[str, Range] = {
    "hour": Range("hour", "hour", timedelta(hours=1)),
    "day": Range("day", "hour", timedelta(hours=23)),
    "week": Range("week", "day", timedelta(days=6)),
    "month": Range("month", "day", timedelta(days=29)),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """One method's counts: kind → a number per bucket."""

    method: str
    kinds: Mapping[str, tuple[int, ...]]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(sum(values) for values in self.kinds.values())

    def sum(self, kind: str) -> int:
        """All of a kind."""
        return sum(self.kinds[kind])


def read_figures(buckets: Sequence[Mapping[str, Any]]) -> list[Figures]:
    """Sort the answer of GET /api/v2/stats by method and kind."""
    return [
        Figures(
            method,
            {
                kind: tuple(
                    sum(bucket["counts"].get(method, {}).get(status, 0) for status in statuses) for bucket in buckets
                )
                for kind, statuses in KINDS.items()
            },
        )
        for method in METHODS
    ]


CAUSE_COLOURS = ("--bad", "--warn", "--main", "--good", "--calm")
"""Of the most frequent causes; the last one is that of all others."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures of one code, whichever providers they had: a number per bucket."""

    method: str
    code: str
    """Empty: of all other causes, of every method."""
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)


def read_causes(failures: Sequence[Mapping[str, Any]]) -> list[Cause]:
    """Sum the answer's failures up by method and code, the most frequent first; the rare ones are one."""
    sums_of_cause: dict[tuple[str, str], list[int]] = {}
    for failure in failures:
        sums = sums_of_cause.setdefault((failure["method"], failure["code"] or ""), [0] * len(failure["counts"]))
        sums[:] = [sum(pair) for pair in zip(sums, failure["counts"], strict=True)]
    causes = sorted((Cause(*key, tuple(sums)) for key, sums in sums_of_cause.items()), key=lambda cause: -cause.total)
    max_causes = len(CAUSE_COLOURS) - 1
    rest = tuple(sum(counts) for counts in zip(*(cause.counts for cause in causes[max_causes:]), strict=True))
    return causes[:max_causes] + ([Cause("", "", rest)] if rest else [])


def write_rate(figures: Figures) -> str:
    """Write which share of the settled messages was delivered; empty where no receipts came."""
    return _write_share(figures.sum("delivered"), figures.total - figures.sum("waiting"))


def write_rate_of_user(row: Mapping[str, Any]) -> str:
    """Write the same of a row of the answer's users."""
    return _write_share(row["delivered"], row["sent"] + row["failed"] + row["uncertain"])


def _write_share(delivered: int, settled: int) -> str:
    return f"{100 * delivered / settled:.1f} %" if delivered else ""


def write_labels(buckets: Sequence[Mapping[str, Any]], bucket: str, zone: ZoneInfo) -> list[str]:
    """Return the labels of the buckets, in the installation's time zone."""
    starts = [datetime.fromisoformat(bucket["start"]).astimezone(zone) for bucket in buckets]
    return [f"{start:%H:%M}" if bucket == "hour" else f"{start:%m-%d}" for start in starts]
