from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foretrade.markets.bars import FIELDS
from foretrade.markets.synthetic import random_walk


def test_nobody_can_write_to_bars(walk):
    for name in FIELDS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(walk, name)[0] = 1.0
    assert pickle.loads(pickle.dumps(walk)).content_hash == walk.content_hash
    with pytest.raises(ValueError, match="read-only"):
        pickle.loads(pickle.dumps(walk)).close[0] = 1.0
    assert copy.deepcopy(walk) is walk


def test_the_hash_sees_every_value(walk):
    hashes = {walk.content_hash, walk.rows(0, 599).content_hash, walk.rows(1, 600).content_hash}
    assert len(hashes) == 3
    assert walk.rows(0, 600).content_hash == walk.content_hash


def test_dates_are_those_of_the_exchange(sp500):
    assert str(sp500.dates[0].date()) == "1999-01-04"
    assert sp500.dates.tz is None
    assert np.all(np.diff(sp500.stamps) > 0)


def test_a_history_keeps_its_name_whatever_file_symbol_or_clock_it_goes_by():
    bars = random_walk(300)
    later = bars.closes_at + pd.Timedelta(minutes=5)
    same = replace(bars, symbols=("prices_2024",), closes_at=later, timezone="Europe/London")
    assert same.history_hash == bars.history_hash == bars.rows(0, 290).history_hash
    assert same.content_hash != bars.content_hash
    assert bars.rows(1, 300).history_hash != bars.history_hash
