"""The sandbox: what arrived, followers, faults."""
