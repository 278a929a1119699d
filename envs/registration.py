"""The names under which Gymnasium knows the environments.

Gymnasium 1.0 dropped the ``gymnasium.envs`` entry-point group, so they are registered by
``import foretrade``; ``gymnasium.make("foretrade:foretrade/Market-v0")`` does that import itself.
"""

from gymnasium.envs.registration import register, registry

ENVIRONMENTS = {
    "foretrade/Market-v0": ("foretrade.envs.market:MarketEnv", "foretrade.envs.vector:MarketVectorEnv"),
}


def register_environments() -> None:
    """Register every environment that is not registered yet."""
    for name, (single, vector) in ENVIRONMENTS.items():
        if name not in registry:
            register(id=name, entry_point=single, vector_entry_point=vector)
