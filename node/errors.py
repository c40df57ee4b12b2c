"""The node's error base: one line that says what is wrong and what to do about it."""


class CrdlError(Exception):
    """Any failure that the node names; its text is one line for a person."""


class ConfigurationError(CrdlError):
    """A setting is missing or does not hold together."""


class InputError(CrdlError):
    """A file or an argument that a person gave cannot be used."""


class IntakeError(CrdlError):
    """A received instance cannot be accepted; nothing of it was acknowledged."""


class BlobError(CrdlError):
    """The blob store cannot keep or give back what was asked of it."""


class PairingError(CrdlError):
    """An image cannot be assigned to a segmentation."""


class JobError(CrdlError):
    """A job is not there, or not in a state that allows what was asked."""


class PipelineError(CrdlError):
    """The pipeline itself failed: no verdict about the case, so the job is retried."""


class ReportError(CrdlError):
    """A report could not be built, or does not say what the findings say."""


class DeliveryError(CrdlError):
    """A destination could not be reached or refused what was sent."""


class AccessError(CrdlError):
    """A user, session or token is not there, or may not be what was asked."""
