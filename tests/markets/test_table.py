from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foretrade.markets.bars import DataError
from foretrade.markets.features import compute_features
from foretrade.markets.table import NEVER, Column, Table


@pytest.fixture
def table(walk) -> Table:
    return Table.from_columns(walk, {Column("close", "price"): walk.close})


def test_a_value_known_after_its_close_is_refused(walk, table):
    late = walk.stamps[:, None, None] + 1
    with pytest.raises(DataError, match="row 0: known at .*after the close .*lag the column"):
        Table(walk.closes_at, walk.symbols, table.columns, table.values, late, table.cutoff)


def test_an_outside_series_enters_on_its_publication_not_before(walk, table):
    stamps = walk.closes_at[[10, 20]] + pd.Timedelta(seconds=1)
    news = pd.DataFrame({"news": [1.0, 2.0]}, index=stamps)
    joined = table.join_asof(news)
    column = joined.column("news")[:, 0]
    assert np.isnan(column[:11]).all()
    assert (column[11:21] == 1.0).all()
    assert (column[21:] == 2.0).all()
    assert (joined.known_at[11:21, 0, 1] == stamps.as_unit("ns").asi8[0]).all()
    exactly = table.join_asof(news.set_axis(walk.closes_at[[10, 20]]))
    assert exactly.column("news")[10, 0] == 1.0


def test_publication_times_must_be_clear(table):
    with pytest.raises(DataError, match="timezone-aware"):
        table.join_asof(pd.DataFrame({"x": [1.0]}, index=pd.DatetimeIndex(["2001-01-01"])))
    backwards = pd.DatetimeIndex(["2001-01-02", "2001-01-01"], tz="UTC")
    with pytest.raises(DataError, match="increasing"):
        table.join_asof(pd.DataFrame({"x": [1.0, 2.0]}, index=backwards))


def test_joining_keeps_the_later_cutoff_and_no_name_twice(walk, table):
    cutoff = np.full(len(walk), NEVER)
    cutoff[5:] = walk.stamps[4]
    other = Table.from_columns(walk, {Column("forecast", "log return"): walk.close}, cutoff=cutoff)
    joined = table.join(other)
    assert joined.names == ("close", "forecast")
    assert np.array_equal(joined.cutoff, cutoff)
    with pytest.raises(DataError, match="stands twice"):
        table.join(table)
    with pytest.raises(DataError, match="no column 'opne'"):
        table.column("opne")


def test_parquet_keeps_every_bit(sp500, tmp_path):
    features = compute_features(sp500)
    features.write_parquet(tmp_path / "t.parquet")
    assert Table.read_parquet(tmp_path / "t.parquet").content_hash == features.content_hash
    bytes_ = (tmp_path / "t.parquet").read_bytes()
    features.write_parquet(tmp_path / "u.parquet")
    assert (tmp_path / "u.parquet").read_bytes() == bytes_
    (tmp_path / "t.parquet").write_bytes(bytes_[:-100])
    with pytest.raises(DataError, match="not a readable table"):
        Table.read_parquet(tmp_path / "t.parquet")
