"""The error base of the report templates."""


class TemplateError(Exception):
    """A template, a code table or the values given to one do not hold together."""
