"""The chunks of a job: how many messages of a request are claimed and sent together, by their numbers.

The name of a message's chunk follows from its number alone, so that a cancel finds it before the job is cut.
"""


def first_of(n: int, size: int) -> int:
    """Return the number of the first message of the chunk that message `n` belongs to."""
    return n - n % size
