"""`imsg doctor`: the settings in force, what they point to, and a remedy for each fault."""
