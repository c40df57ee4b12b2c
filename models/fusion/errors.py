"""What can go wrong when models are fitted or frozen."""

from models.errors import ModelsError


class FusionError(ModelsError):
    """The fusion models cannot be fitted as asked."""


class TableError(FusionError):
    """The feature table does not hold together: its shapes, names, identifiers or labels."""


class TooFewCasesError(FusionError):
    """A class has fewer patients than there are folds: add cases or ask for fewer folds."""


class MissingFeatureError(FusionError):
    """A model needs a feature that the table or the case does not have."""
