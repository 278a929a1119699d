"""A multilayer perceptron of torch with its gradients written out, in memory that is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

Tensor = torch.Tensor


class Perceptron:
    """The layers of a torch network, forward and backward, without autograd.

    Rows are samples. What :meth:`forward` returns, and what :meth:`backward` needs of it, lies in memory
    of this object and is written over by the next call. The parameters stay the network's own: an
    optimiser's step is seen by the next call.

    Args:
        layers: Linear layers with a bias, from the observation to the output.
        activation: Between them: ``Tanh`` or ``ReLU``.
        rows: Largest number of samples at once.
    """

    def __init__(self, layers: Sequence[nn.Linear], activation: type[nn.Module], rows: int) -> None:
        self.layers = tuple(layers)
        self.tanh = activation is nn.Tanh
        self.rows = rows
        self._weights = [layer.weight.detach() for layer in self.layers]
        self._biases = [layer.bias.detach() for layer in self.layers]
        self._values = [torch.empty(rows, layer.out_features) for layer in self.layers]
        self._slopes = [torch.empty_like(values) for values in self._values[:-1]]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs ``[n, out]`` of the last layer for ``inputs [n, in]``."""
        last = len(self.layers) - 1
        for k, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            values = self._values[k][: inputs.shape[0]]
            inputs = torch.addmm(bias, inputs, weight.t(), out=values)
            if k < last:
                self._activate(inputs)
        return inputs

    def backward(self, inputs: Tensor, slope: Tensor) -> None:
        """Write the layers' ``.grad``, from the loss's derivative ``[n, out]`` by the last outputs.

        The last call of :meth:`forward` must have been for these ``inputs``; ``.grad`` must exist.
        """
        n = inputs.shape[0]
        below = [inputs, *(values[:n] for values in self._values[:-1])]
        for k in reversed(range(len(self.layers))):
            layer = self.layers[k]
            torch.mm(slope.t(), below[k], out=layer.weight.grad)
            torch.sum(slope, 0, out=layer.bias.grad)
            if k:
                slope = torch.mm(slope, self._weights[k], out=self._slopes[k - 1][:n])
                self._derive(slope, below[k])

    def _activate(self, values: Tensor) -> None:
        if self.tanh:  # numpy's has vector instructions: torch's takes ten times as long
            array = values.numpy()
            np.tanh(array, out=array)
        else:
            torch.relu_(values)

    def _derive(self, slope: Tensor, values: Tensor) -> None:
        """Multiply by the activation's derivative where it has come to these values."""
        if self.tanh:
            torch.ops.aten.tanh_backward.grad_input(slope, values, grad_input=slope)
        else:
            torch.ops.aten.threshold_backward.grad_input(slope, values, 0.0, grad_input=slope)
