"""Train PPO on the S&P 500 with the standard features, and compare it with buy-and-hold."""

import sys
from pathlib import Path

import foretrade
from foretrade.agents.baselines import Constant
from foretrade.agents.ppo_config import PPOConfig
from foretrade.agents.training import train
from foretrade.backtests.metrics import score_run
from foretrade.envs.episodes import Episodes
from foretrade.markets.splits import Blocks


def main(steps: int = 1_048_576, folder: str = "runs/train_ppo") -> None:
    bars = foretrade.load("sp500")
    rows = Blocks(train="2003-01-01", validation="2012-01-01", test="2014-01-01").rows(bars)

    training = foretrade.MarketEnv(bars, rows=rows["train"], episodes=Episodes(252, random_start=True))
    validation = foretrade.MarketEnv(bars, rows=rows["validation"])
    test = foretrade.MarketEnv(bars, rows=rows["test"])

    agent = train(training, validation, PPOConfig(steps=steps), seed=0, folder=Path(folder))

    for name, contestant in {
        "PPO": agent,
        "buy and hold": Constant(test.layout, test.actions, weight=1.0),
    }.items():
        scores = score_run(foretrade.run(contestant, test, name=name), bars.periods_per_year)
        interval = f"{scores.sharpe_low:.2f} to {scores.sharpe_high:.2f}"
        print(f"{name}: net Sharpe {scores.sharpe:.2f} (95 % interval {interval})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
