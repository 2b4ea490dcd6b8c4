"""callbacks' routes, a module for each resource; the gateway relays them."""
