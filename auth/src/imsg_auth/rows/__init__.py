"""The rows of auth's tables: records, and the statements that read and write them, a module a subject."""
