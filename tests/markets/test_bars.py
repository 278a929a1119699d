from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from foretrade.markets.bars import FIELDS


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
