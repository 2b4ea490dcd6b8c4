"""Templates: their versions, what is checked when one is saved, and those that gateways send by."""
