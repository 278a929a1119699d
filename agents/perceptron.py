"""A multilayer perceptron of torch with its gradients written out, in memory that is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

Tensor = torch.Tensor


class Perceptron:
    """The layers of a torch network, forward and backward, without autograd.

    Rows are samples. What :meth:`forward` returns and what it needs for :meth:`backward` lies in memory
    of this object, and is written over by the next call. The layers stay the network's own: an
    optimiser's step is seen by the next call.

    Args:
        layers: Linear layers, from the observation to the output.
        activation: Between them: ``Tanh`` or ``ReLU``.
        rows: Largest number of samples at once.
    """

    def __init__(self, layers: Sequence[nn.Linear], activation: type[nn.Module], rows: int) -> None:
        self.layers = tuple(layers)
        self.tanh = activation is nn.Tanh
        self.rows = rows
        self.values = [torch.empty(rows, layer.out_features) for layer in self.layers]
        self.slopes = [torch.empty_like(values) for values in self.values[:-1]]

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs ``[n, out]`` of the last layer for ``inputs [n, in]``."""
        hidden, last = inputs, self.layers[-1]
        for layer, values in zip(self.layers, self.values, strict=True):
            hidden = torch.addmm(layer.bias, hidden, layer.weight.t(), out=values[: len(inputs)])
            if layer is not last:
                self._activate(hidden)
        return hidden

    @torch.no_grad()
    def backward(self, inputs: Tensor, slope: Tensor) -> None:
        """Write ``.grad`` of the layers, from the loss's derivative ``[n, out]`` by the last outputs.

        The last call of :meth:`forward` must have been for these ``inputs``; ``.grad`` must exist.
        """
        below = [inputs, *(values[: len(inputs)] for values in self.values[:-1])]
        for k in reversed(range(len(self.layers))):
            layer = self.layers[k]
            assert layer.weight.grad is not None
            torch.mm(slope.t(), below[k], out=layer.weight.grad)
            torch.sum(slope, 0, out=layer.bias.grad)
            if k:
                slope = torch.mm(slope, layer.weight, out=self.slopes[k - 1][: len(inputs)])
                self._derive(slope, below[k])

    def _activate(self, values: Tensor) -> None:
        if self.tanh:  # numpy's is vectorised: torch's takes ten times as long
            np.tanh(values.numpy(), out=values.numpy())
        else:
            torch.relu_(values)

    def _derive(self, slope: Tensor, values: Tensor) -> None:
        """Multiply by the activation's derivative where it has come to these values."""
        if self.tanh:
            torch.ops.aten.tanh_backward.grad_input(slope, values, grad_input=slope)
        else:
            torch.ops.aten.threshold_backward.grad_input(slope, values, 0.0, grad_input=slope)
