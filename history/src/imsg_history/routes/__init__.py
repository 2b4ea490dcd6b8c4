"""history's routes, a module for each resource; the gateway relays all but those of `services`."""
