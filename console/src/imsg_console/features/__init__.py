"""The pages by feature: each folder holds all of its page, and none knows another."""
