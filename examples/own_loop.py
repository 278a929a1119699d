"""PPO in one file, without a library of agents: the batch environment and torch are enough."""

import sys

import numpy as np
import torch
from torch import nn

import foretrade
from foretrade.envs.vector import MarketVectorEnv

ENVIRONMENTS, ROLLOUT, EPOCHS, MINIBATCH = 256, 32, 4, 2048
GAMMA, LAMBDA, CLIP, REWARD_SCALE = 0.9, 0.9, 0.2, 100.0


def advantages(rewards, values, ended, last):
    """Generalised advantage estimation; an episode's end cuts the sum."""
    result, ahead, after = torch.zeros_like(rewards), torch.zeros_like(last), last
    for t in reversed(range(len(rewards))):
        goes_on = 1.0 - ended[t]
        delta = rewards[t] + GAMMA * after * goes_on - values[t]
        ahead = delta + GAMMA * LAMBDA * goes_on * ahead
        result[t], after = ahead, values[t]
    return result


def main(updates: int = 60) -> None:
    torch.manual_seed(0)
    market = foretrade.MarketEnv(
        "sp500", actions="position", episodes=foretrade.Episodes(252, random_start=True)
    )
    batch = MarketVectorEnv(ENVIRONMENTS, market=market, autoreset_mode="SameStep", infos=False)
    net = nn.Sequential(nn.Linear(len(market.layout.entries), 64), nn.ReLU(), nn.Linear(64, 4))
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    seen, _ = batch.reset(seed=0)
    for update in range(1, updates + 1):
        steps = []
        for _ in range(ROLLOUT):
            with torch.no_grad():
                out = net(torch.from_numpy(seen))
            policy = torch.distributions.Categorical(logits=out[:, :3])
            actions = policy.sample()
            after, rewards, terminated, truncated, _ = batch.step(actions.numpy())
            ended = torch.from_numpy((terminated | truncated).astype(np.float32))
            paid = torch.from_numpy((rewards * REWARD_SCALE).astype(np.float32))
            steps.append(
                (torch.from_numpy(seen), actions, policy.log_prob(actions), paid, out[:, 3], ended)
            )
            seen = after
        states, actions, old, paid, values, ended = (torch.stack(x) for x in zip(*steps, strict=True))
        with torch.no_grad():
            gains = advantages(paid, values, ended, net(torch.from_numpy(seen))[:, 3])
        targets = gains + values
        flat = [x.reshape(-1, *x.shape[2:]) for x in (states, actions, old, gains, targets)]
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(flat[0])).split(MINIBATCH):
                state, action, before, gain, target = (x[chosen] for x in flat)
                out = net(state)
                policy = torch.distributions.Categorical(logits=out[:, :3])
                ratio = (policy.log_prob(action) - before).exp()
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                surrogate = torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
                loss = 0.5 * (out[:, 3] - target).square().mean() - surrogate.mean()
                loss = loss - 0.01 * policy.entropy().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        if update % 10 == 0 or update == updates:
            print(f"update {update}: mean reward {paid.mean() / REWARD_SCALE * 252:+.2%} a year")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
