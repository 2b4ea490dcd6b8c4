"""What a measurement found: series of rounds, each perhaps with what it is to reach."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from imsg_bench.figures import median, spread


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, measured in several rounds."""

    name: str
    unit: str
    values: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def middle(self) -> float:
        """The median of the rounds: what counts."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, as a share of the median."""
        return spread(self.values)

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches what it is to reach; None where it is reported only."""
        if self.at_least is not None:
            return self.middle >= self.at_least
        if self.at_most is not None:
            return self.middle <= self.at_most
        return None

    @property
    def goal(self) -> str:
        """What it is to reach, in a few signs."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return f"≤ {self.at_most:g}" if self.at_most is not None else ""


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement's figures."""

    key: str
    title: str
    series: tuple[Series, ...]
    costs: Mapping[str, float] = field(default_factory=dict)
    """Who → processor µs per unit of work: it holds also where others use the machine."""
    notes: tuple[str, ...] = ()

    def find(self, name: str) -> Series:
        """Return a series by name. Raises KeyError."""
        for series in self.series:
            if series.name == name:
                return series
        raise KeyError(f"{self.key} has no {name}")

    def to_json(self) -> dict[str, Any]:
        """Make what is written to the file."""
        return {**asdict(self), "series": [{**asdict(series), "median": series.middle} for series in self.series]}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "Result":
        """Read what was written."""
        return cls(
            read["key"],
            read["title"],
            tuple(
                Series(
                    series["name"],
                    series["unit"],
                    tuple(series["values"]),
                    series.get("at_least"),
                    series.get("at_most"),
                )
                for series in read["series"]
            ),
            dict(read.get("costs", {})),
            tuple(read.get("notes", ())),
        )


def list_missed(results: Sequence[Result]) -> list[tuple[Result, Series]]:
    """List what was not reached."""
    return [(result, series) for result in results for series in result.series if series.is_met is False]
