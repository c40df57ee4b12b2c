"""Feature selection of the paper (section 2.7): Student t-test, then LASSO.

Both are scikit-learn selectors, so that a Pipeline fits them inside the folds only.
"""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectorMixin
from sklearn.linear_model import LassoCV

from models.fusion.folds import Fold

Matrix = NDArray[np.float64]


class StudentFilter(SelectorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is untyped
    """Keeps features whose class means differ by Student's t-test (equal variances).

    Where none is significant the one with the smallest p is kept: a model without features
    cannot be fitted, and one on noise scores as noise does.

    Attributes:
        significance: p must be below it.
    """

    def __init__(self, significance: float = 0.05) -> None:
        self.significance = significance

    def fit(self, X: Matrix, y: NDArray[np.int64]) -> Self:
        """Test every column of X (cases, features) against the labels y (cases,)."""
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # A constant column has no t; it becomes p = 1 below.
            warnings.simplefilter("ignore", RuntimeWarning)
            p = stats.ttest_ind(X[y == 1], X[y == 0], axis=0, equal_var=True).pvalue
        self.p_values_ = np.where(np.isfinite(p), p, 1.0)
        self.mask_: NDArray[np.bool_] = self.p_values_ < self.significance
        if not self.mask_.any():
            self.mask_[np.argmin(self.p_values_)] = True
        self.n_features_in_ = X.shape[1]
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        return self.mask_


class LassoSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn is untyped
    """Keeps features with a non-zero LASSO coefficient at the cross-validated penalty.

    Where the penalty leaves none, the feature that enters the path first (largest absolute
    covariance with the label) is kept.

    Attributes:
        cv: Folds over the rows that `fit` will see.
        alphas: Number of penalties.
        eps: Smallest over largest penalty.
        tol: Of the dual gap.
        max_iter: Passes of the coordinate descent.
    """

    def __init__(
        self,
        cv: list[Fold] | None = None,
        alphas: int = 20,
        eps: float = 1e-2,
        tol: float = 1e-3,
        max_iter: int = 1000,
    ) -> None:
        self.cv = cv
        self.alphas = alphas
        self.eps = eps
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Matrix, y: NDArray[np.int64]) -> Self:
        """Fit LASSO of the labels y (cases,) on the columns of X (cases, features)."""
        lasso = LassoCV(
            alphas=self.alphas, eps=self.eps, tol=self.tol, max_iter=self.max_iter, cv=self.cv
        )
        with warnings.catch_warnings():
            # At the loosest penalties the descent may stop at max_iter; the choice of features
            # by cross-validated error does not hang on the last digits there.
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso.fit(X, y.astype(np.float64))
        self.alpha_ = float(lasso.alpha_)
        self.coef_ = np.asarray(lasso.coef_, dtype=np.float64)
        self.mask_: NDArray[np.bool_] = self.coef_ != 0
        if not self.mask_.any():
            covariance = (X - X.mean(axis=0)).T @ (y - y.mean())
            self.mask_[np.argmax(np.abs(covariance))] = True
        self.n_features_in_ = X.shape[1]
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        return self.mask_
