"""The table of the measurements, in the order in which they run."""

from collections.abc import Mapping, Sequence
from inspect import getdoc

from imsg_bench.measure import Measurement
from imsg_bench.measures import (
    accept,
    accept_running,
    after_outage,
    all_in_one,
    alone,
    far_server,
    footprint,
    large_list,
    latency,
    left_behind,
    long_list,
    mails,
    message_cost,
    one_among_many,
    recording,
    scheduled,
    texts,
)

TABLE: Sequence[Measurement] = (
    accept,
    accept_running,
    latency,
    mails,
    long_list,
    texts,
    recording,
    all_in_one,
    one_among_many,
    footprint,
    message_cost,
    far_server,
    alone,
    after_outage,
    left_behind,
    large_list,
    scheduled,
)
BY_KEY: Mapping[str, Measurement] = {measurement.KEY: measurement for measurement in TABLE}
METHODS: Mapping[str, str] = {measurement.KEY: getdoc(measurement) or "" for measurement in TABLE}
"""The page of method of each."""
