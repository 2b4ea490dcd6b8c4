"""The channel to the group robots of WeCom."""
