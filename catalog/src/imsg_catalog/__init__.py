"""The catalog: the suppressions, groups and templates of iMSG."""
