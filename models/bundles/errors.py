"""Why a bundle is not used."""

from typing import ClassVar

from models.errors import ModelsError


class BundleError(ModelsError):
    """This bundle cannot be used; the subclass says why."""

    code: ClassVar[str] = "bundle"


class BundleNotFoundError(BundleError):
    """There is no bundle of this name or at this path."""


class BundleTamperedError(BundleError):
    """A file is missing, extra or not the one that the manifest lists: get the bundle again."""


class BundleContentError(BundleError):
    """The folder holds something a bundle never holds, such as a pickle or a link."""


class BundleSchemaError(BundleError):
    """The description or the arrays are not of the form this software reads."""


class IllPosedFeaturesError(BundleError):
    """The bundle rests on the 851 features, 372 of them rounding noise: force it to use it."""


class MissingInputsError(BundleError):
    """No model of the bundle can answer: each one lacks an input of this case."""

    code: ClassVar[str] = "missing-inputs"


class AbstentionError(BundleError):
    """The bundle cannot keep to the tolerated error: take a larger one, or more training cases."""


class AttributionError(BundleError):
    """A score cannot be shared out over the features of the case."""

    code: ClassVar[str] = "attribution"
