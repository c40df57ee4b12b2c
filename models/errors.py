"""The error base of everything that is a model.

Every refusal a caller may have to explain to a person is a subclass of `ModelsError`; the
subclass docstring says what happened and what to do about it.
"""

from typing import ClassVar


class ModelsError(Exception):
    """Something the models were asked to do cannot be done; the subclass says what and why.

    Attributes:
        code: The code of the refusal that it becomes, kebab-case.
    """

    code: ClassVar[str] = "model"
