"""The routes of callbacks, one module for each resource; the gateway relays them."""
