"""Batches for networks and functions: rows in blocks of one size, inputs, integrated gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from foretrade.markets.arrays import AnyArray, Float32s, Floats

BLOCK_ROWS = 256  # a network always runs on this many rows: one trace, and the same bits a row
CLIP = 10.0  # features are in units of their own spread; beyond this they are outliers
GRADIENT_STEPS = 32


def in_blocks(function: Callable[[Floats], AnyArray], X: Floats) -> Floats:
    """``function`` of all rows of ``X`` ``[n, ...]``, called on ``BLOCK_ROWS`` of them at a time.

    Linear algebra rounds differently for other batch lengths. The last block is filled up with its
    last row, so that the bits of a row do not depend on how many rows come with it.
    """
    padded = np.concatenate([X, np.repeat(X[-1:], -len(X) % BLOCK_ROWS, axis=0)])
    blocks = padded.reshape(-1, BLOCK_ROWS, *X.shape[1:])
    outputs = np.concatenate([np.asarray(function(block)) for block in blocks])
    return outputs[: len(X)].astype(np.float64)


def network_inputs(X: Floats) -> Float32s:
    """What a network is shown of ``X``: outliers clipped, in single precision."""
    return np.clip(X, -CLIP, CLIP).astype(np.float32)


def integrated_gradients(gradient: Callable[[Floats], AnyArray], X: Floats) -> Floats:
    """Which part of a network's output each entry of a window is answerable for.

    Equation 1 of Sundararajan, Taly and Yan (2017, arXiv:1703.01365) with the baseline zero, by the
    midpoint rule. Over a window the parts sum to ``f(x) − f(0)``, up to the rule's error.

    Args:
        gradient: Windows ``[rows, lookback_bars, features]`` to ``∂f/∂x`` of the same shape.
        X: ``[n, lookback_bars, features]``, clipped as the network sees it.
    """
    places = (np.arange(GRADIENT_STEPS) + 0.5) / GRADIENT_STEPS
    mean: Floats = np.mean([in_blocks(gradient, place * X) for place in places], axis=0)
    return X * mean


def feature_importance(parts: Floats) -> Floats:
    """``[features]`` of parts ``[n, lookback_bars, features]``: summed over the window, mean of rows."""
    importance: Floats = np.abs(parts).sum(axis=1).mean(axis=0)
    return importance
