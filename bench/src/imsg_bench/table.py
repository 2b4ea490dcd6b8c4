"""The table of the measurements, in the order in which they are carried out."""

from collections.abc import Mapping, Sequence
from inspect import getdoc

from imsg_bench.measure import Measurement
from imsg_bench.measures import accept, accept_running, latency, long_list, mails, one_among_many, texts

TABLE: Sequence[Measurement] = (accept, accept_running, latency, mails, long_list, texts, one_among_many)
BY_KEY: Mapping[str, Measurement] = {one.KEY: one for one in TABLE}
METHODS: Mapping[str, str] = {one.KEY: getdoc(one) or "" for one in TABLE}
"""The page of method of each."""
