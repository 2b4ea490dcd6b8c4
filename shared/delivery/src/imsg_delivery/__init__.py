"""The delivery engine of all senders: from a job in a queue to an outcome for each of its recipients."""
