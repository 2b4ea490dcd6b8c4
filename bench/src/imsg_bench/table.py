"""The table of the measurements, in the order in which they are carried out."""

from collections.abc import Mapping, Sequence
from inspect import getdoc

from imsg_bench.measure import Measurement
from imsg_bench.measures import accept, latency, mails

TABLE: Sequence[Measurement] = (accept, latency, mails)
BY_KEY: Mapping[str, Measurement] = {one.KEY: one for one in TABLE}
METHODS: Mapping[str, str] = {one.KEY: getdoc(one) or "" for one in TABLE}
"""The page of method of each."""
