"""The sections of the report: each function composes one."""
