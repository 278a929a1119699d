"""A torch module of one's own as a forecaster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from sklearn.base import BaseEstimator

from foretrade.forecasters.base import Forecast
from foretrade.forecasters.blocks import in_blocks, network_inputs
from foretrade.markets.arrays import AnyArray, Floats


@dataclass(kw_only=True, eq=False, repr=False)
class TorchForecaster(BaseEstimator):
    """What a factory of torch modules builds, as a forecaster: on the CPU, with one thread.

    It learns by least squares with Adam; labels come to it in units of their own spread. ``refit`` goes
    on from the weights with a fresh optimiser, or from scratch if ``refit_epochs`` is None.

    Args:
        build: ``(lookback_bars, features)`` to a ``torch.nn.Module`` that gives one value a window,
            ``[n, 1]`` or ``[n]``. To cache forecasts it must be a function in a module.
        epochs, refit_epochs: Passes over the rows in ``fit`` and ``refit``.
        batch_size, learning_rate: Of Adam.
        seed: Of the initial weights, the shuffling and the dropout.
    """

    build: Callable[[tuple[int, ...]], torch.nn.Module] = field(kw_only=False)
    epochs: int = 10
    refit_epochs: int | None = 2
    batch_size: int = 256
    learning_rate: float = 1e-3
    seed: int = 0

    def fit(self, X: Floats, y: Floats, sample_weight: Floats | None = None) -> Self:
        with _alone(self.seed):
            self.net_ = self.build(X.shape[1:])
            return self._train(X, y, self.epochs, sample_weight)

    def refit(self, X: Floats, y: Floats) -> Self:
        """Train on from the present weights; labels are standardised anew on these rows."""
        if self.refit_epochs is None:
            return self.fit(X, y)
        with _alone(self.seed + len(X)):
            return self._train(X, y, self.refit_epochs, None)

    def predict(self, X: Floats) -> Forecast:
        self.net_.eval()
        with _alone(self.seed), torch.no_grad():
            output = in_blocks(lambda block: self._output(network_inputs(block)).numpy(), X)
        return Forecast(output * self.label_std_ + self.label_mean_)

    def state(self) -> dict[str, AnyArray]:
        weights = {f"weight.{name}": w.numpy().copy() for name, w in self.net_.state_dict().items()}
        return weights | {"label": np.array([self.label_mean_, self.label_std_])}

    def set_state(self, state: Mapping[str, AnyArray], X: Floats) -> Self:
        """Take over the parameters of :meth:`state`; ``X`` gives the shape of the inputs."""
        with _alone(self.seed):
            self.net_ = self.build(X.shape[1:])
        for name, values in self.net_.state_dict().items():
            values.copy_(torch.tensor(state[f"weight.{name}"]).reshape(values.shape))
        self.label_mean_, self.label_std_ = (float(value) for value in state["label"])
        return self

    def _output(self, inputs: AnyArray) -> torch.Tensor:
        output: torch.Tensor = self.net_(torch.from_numpy(inputs))
        if output.shape not in ((len(inputs),), (len(inputs), 1)):
            raise ValueError(
                f"build must return a module that gives one value a window, [n, 1]; of {len(inputs)} "
                f"windows it made {tuple(output.shape)}; end it with torch.nn.Linear(…, 1)"
            )
        return output.reshape(-1)

    def _train(self, X: Floats, y: Floats, epochs: int, sample_weight: Floats | None) -> Self:
        self.label_mean_, self.label_std_ = float(y.mean()), float(max(y.std(), 1e-12))
        inputs = network_inputs(X)
        labels = torch.from_numpy(((y - self.label_mean_) / self.label_std_).astype(np.float32))
        weights = torch.ones(len(y)) if sample_weight is None else torch.tensor(sample_weight).float()
        optimiser = torch.optim.Adam(self.net_.parameters(), self.learning_rate)
        self.net_.train()
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(y)), self.batch_size):
                optimiser.zero_grad()
                errors = self._output(inputs[rows.numpy()]) - labels[rows]
                (weights[rows] * errors**2).mean().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        return self


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread and a generator of its own; the caller's are as they were afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
