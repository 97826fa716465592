"""scikit-learn estimators: BN-ReLU networks trained to a certified global optimum.

In the manner of :class:`sklearn.linear_model.Lasso`, :func:`sklearn.linear_model.lasso_path` and
:class:`sklearn.linear_model.LassoCV`, for pipelines, grids and cross-validation.

The loss is a sum over the samples, in the paper's units, and the network has no output bias:
targets far from zero are better centred, by :class:`sklearn.compose.TransformedTargetRegressor`.

There is no `partial_fit`, as a certificate is one of all samples; no `coef_`, as the network is not
linear in X; and no `sample_weight`, as whitening with weights is another network.

Needs scikit-learn, which nothing else of the library does.
"""

from convexbn.estimators.cross_validation import ConvexBNClassifierCV, ConvexBNRegressorCV
from convexbn.estimators.networks import ConvexBNClassifier, ConvexBNRegressor
from convexbn.estimators.paths import network_path

__all__ = [
    "ConvexBNClassifier",
    "ConvexBNClassifierCV",
    "ConvexBNRegressor",
    "ConvexBNRegressorCV",
    "network_path",
]
