"""What our estimators share with scikit-learn's, without its slow import (lessons 03-08)."""

import inspect


class Estimator:
    """`get_params`, `set_params` and tags, so that `sklearn.base.clone` and searches work.

    Parameters are those of `__init__`, kept by name; fitted attributes end in `_`.

    >>> from helpers.detectors import Confidence
    >>> Confidence().set_params(score="msp")
    Confidence(score='msp', temperature=1.0)
    """

    kind = "classifier"  # or "clusterer", "outlier_detector"

    def get_params(self, deep: bool = True) -> dict:
        """Return the constructor's parameters by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params):
        """Set parameters by name; ValueError for a name that the constructor does not have."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        params = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"{type(self).__name__}({params})"

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def __sklearn_tags__(self):
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        classifier = self.kind == "classifier"
        return Tags(
            estimator_type=self.kind,
            target_tags=TargetTags(required=classifier),
            classifier_tags=ClassifierTags() if classifier else None,
            input_tags=InputTags(),
        )
