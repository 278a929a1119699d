"""Policies that were trained elsewhere with stable-baselines3, as agents of a market.

A model's zip holds pickled objects besides its tensors, and unpickling runs whatever code they name.
:func:`policy_from_sb3_zip` reads the tensors of the policy alone and runs nothing; :func:`load_sb3`
reads all of it, on the user's word.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from foretrade.agents.algorithms import policy_spec
from foretrade.agents.store import ACTIVATIONS, NetworkAgent, PolicyAgent, PolicyFileError
from foretrade.agents.training_config import TrainingConfig
from foretrade.envs.market import MarketEnv


def wrap(model: BaseAlgorithm, env: MarketEnv) -> NetworkAgent:
    """A live model as an agent; it acts by the mode of its policy.

    What normalised its observations in training (``VecNormalize``) is no part of a model: the market
    must show what the policy itself was shown.

    Raises:
        PolicyFileError: The model was made for other observations or actions than those of ``env``.
    """
    shown, acts = env.observation_space, env.action_space
    if model.observation_space.shape != shown.shape or model.action_space != acts:
        raise PolicyFileError(
            f"the model was made for observations {model.observation_space} and actions "
            f"{model.action_space}; the market has {shown} and {acts}"
        )
    return NetworkAgent(model.policy)


def load_sb3(
    path: Path, algorithm: type[BaseAlgorithm], env: MarketEnv, *, i_trust_this_file: bool = False
) -> NetworkAgent:
    """A model from the zip that ``model.save`` wrote, unpickled: **this runs code that the file names**.

    Args:
        algorithm: Its class, such as ``stable_baselines3.DQN``.
        i_trust_this_file: That you made the file, or know who did and that nobody changed it since.

    Raises:
        PolicyFileError: ``i_trust_this_file`` is not set; or see :func:`wrap`.
    """
    if not i_trust_this_file:
        raise PolicyFileError(
            f"{path}: the zip of a model holds pickled objects, and loading it runs whatever code they "
            "name; read its tensors alone with policy_from_sb3_zip(path, env, config), or say "
            "i_trust_this_file=True if you made it yourself"
        )
    return wrap(algorithm.load(path, device="cpu"), env)


def policy_from_sb3_zip(path: Path, env: MarketEnv, config: TrainingConfig) -> PolicyAgent:
    """The policy in a model's zip: of it, only the tensors of ``policy.pth`` are read; no code is run.

    The agent can be stored with :func:`~foretrade.agents.store.save_policy`.

    Args:
        config: Says what the network is: the class that of its algorithm; ``net_arch``, ``activation``
            (and ``lstm_units``) what the model was trained with. The shapes of the tensors tell the
            widths, the zip's text the activation; both are compared.

    Raises:
        PolicyFileError: It is no such zip, holds something else than tensors, does not fit the network
            or its activation, or a parameter is not finite.
    """
    spec = replace(policy_spec(env, config), unit_actions=False)
    policy = spec.build()
    try:
        policy.load_state_dict(_tensors(path), strict=True)
    except RuntimeError as error:
        raise PolicyFileError(
            f"{path}: the tensors do not fit a {config.label} policy with net_arch {config.net_arch} on "
            f"{len(spec.entries)} observed entries; give the settings it was trained with ({error})"
        ) from error
    _check_activation(path, config)
    for name, tensor in policy.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise PolicyFileError(f"{path}: parameter {name} is not finite")
    policy.set_training_mode(False)
    return PolicyAgent(spec, policy)


def _check_activation(path: Path, config: TrainingConfig) -> None:
    """Compare with what the zip says in words: no shape tells the activation."""
    try:
        given = json.loads(_member(path, "data")).get("policy_kwargs", {})
    except (ValueError, AttributeError) as error:
        raise PolicyFileError(f"{path}: no zip of a stable-baselines3 model ({error})") from error
    default = torch.nn.ReLU if config.needs_continuous_actions else torch.nn.Tanh
    said = str(given.get("activation_fn", default)) if isinstance(given, dict) else ""
    ours = ACTIVATIONS[config.activation].__name__
    if not said.endswith(f".{ours}'>"):
        raise PolicyFileError(
            f"{path}: the model's activation is {said or 'not told'}, that of the config {ours}; give "
            "the activation that it was trained with"
        )


def _member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (OSError, zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise PolicyFileError(f"{path}: no zip of a stable-baselines3 model ({error})") from error


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    content = io.BytesIO(_member(path, "policy.pth"))
    try:
        found = torch.load(content, map_location="cpu", weights_only=True)
    except (OSError, EOFError, zipfile.BadZipFile, KeyError, RuntimeError) as error:
        raise PolicyFileError(f"{path}: no zip of a stable-baselines3 model ({error})") from error
    except pickle.UnpicklingError as error:
        raise PolicyFileError(f"{path}: policy.pth holds more than tensors; nothing was run") from error
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise PolicyFileError(f"{path}: policy.pth holds something else than named tensors")
    return found
