"""What two processes must agree on: the wire, the topology, errors, addresses, tokens. Pure: no I/O."""
