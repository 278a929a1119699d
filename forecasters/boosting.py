"""Boosting: copies of a member, each fitted to what those before it left unexplained."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from foretrade.forecasters.bagging import MemberWrapper, seeded_clone
from foretrade.forecasters.base import Forecast, Forecaster
from foretrade.markets.arrays import Floats


class StagewiseForecaster(MemberWrapper):
    """Stagewise additive least squares (Friedman 2001, algorithm 2, with shrinkage).

    ``F_0`` is the mean of the labels, ``F_m = F_{m−1} + learning_rate · h_m`` with ``h_m`` the member
    fitted to ``y − F_{m−1}``. Members that overfit leave no residuals: choose weak ones. Each refit
    starts anew.

    Args:
        member: Forecaster or scikit-learn regressor; cloned for each stage.
        stages: How many are fitted.
        learning_rate: Share of each stage that is added.
        seed: Of the stages, if the member takes a ``seed`` or ``random_state``.
    """

    def __init__(
        self, member: Any, *, stages: int = 3, learning_rate: float = 0.3, seed: int = 0
    ) -> None:
        self.member = member
        self.stages = stages
        self.learning_rate = learning_rate
        self.seed = seed

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        """Fit the stages.

        Raises:
            ValueError: ``stages`` is below 1, ``learning_rate`` not between 0 and 1, or the member has
                a running state.
        """
        if self.stages < 1 or not 0 < self.learning_rate <= 1:
            raise ValueError(
                "stages must be at least 1 and learning_rate above 0 and at most 1, got "
                f"{self.stages} and {self.learning_rate}"
            )
        self.start_ = float(np.average(y, weights=sample_weight))
        self.stages_: list[Forecaster] = []
        residuals = y - self.start_
        for number in range(self.stages):
            stage = seeded_clone(self.member, self.seed, number).fit(X, residuals, sample_weight)
            residuals = residuals - self.learning_rate * stage.predict(X).mean
            self.stages_.append(stage)
        return self

    def predict(self, X: Floats) -> Forecast:
        """Sum of the stages. It has no std: that of a stage is of residuals, not of the return."""
        steps = [stage.predict(X).mean for stage in self.stages_]
        return Forecast(self.start_ + self.learning_rate * np.sum(steps, axis=0))
