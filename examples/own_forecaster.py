"""Your own forecaster beside the shipped ones: what is it worth when traded?"""

import sys

from sklearn.linear_model import HuberRegressor

import foretrade
from foretrade.agents.baselines import VolatilityTarget
from foretrade.backtests.metrics import score_run
from foretrade.forecasters.linear import ridge
from foretrade.markets.labels import LabelConfig
from foretrade.markets.splits import WalkForward


def main(refit_every_bars: int = 126) -> None:
    bars = foretrade.load("sp500")
    features = foretrade.compute_features(bars)
    forecasts = foretrade.rolling_forecasts(
        bars,
        features,
        {"huber": HuberRegressor(alpha=1.0, epsilon=2.0, max_iter=500), "ridge": ridge()},
        symbol="GSPC",
        label=LabelConfig(horizon_bars=1, fill="next_close"),
        schedule=WalkForward(refit_every_bars=refit_every_bars),
    )
    market = foretrade.MarketEnv(bars, features.join(forecasts), fill="next_close")
    for name in ("huber", "ridge", "ensemble"):
        rule = VolatilityTarget(market.layout, market.actions, column=f"{name}.mean")
        scores = score_run(foretrade.run(rule, market, name=name), bars.periods_per_year)
        interval = f"{scores.sharpe_low:.2f} to {scores.sharpe_high:.2f}"
        print(f"{name}: net Sharpe {scores.sharpe:.2f} (95 % interval {interval})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
