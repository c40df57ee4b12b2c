"""Service: the one place that knows every room; it composes roles and runs their processes."""
