"""The table of the measurements, in the order in which they run."""

from collections.abc import Mapping, Sequence
from inspect import getdoc

from imsg_bench.measure import Measurement
from imsg_bench.measures import (
    accept,
    all_in_one,
    alone,
    far_server,
    footprint,
    large_list,
    latency,
    left_behind,
    mails,
    message_cost,
    one_among_many,
    overload,
    recording,
    scheduled,
    texts,
)

TABLE: Sequence[Measurement] = (
    accept,
    latency,
    mails,
    texts,
    recording,
    all_in_one,
    one_among_many,
    footprint,
    message_cost,
    far_server,
    alone,
    overload,
    left_behind,
    large_list,
    scheduled,
)
BY_KEY: Mapping[str, Measurement] = {measurement.KEY: measurement for measurement in TABLE}
METHODS: Mapping[str, str] = {measurement.KEY: getdoc(measurement) or "" for measurement in TABLE}
"""The page of method of each."""
