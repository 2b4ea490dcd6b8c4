"""The senders' engine: from a job in a queue to a recorded outcome for each of its recipients."""
