"""Loading: what is packaged, a user's own files, and one clear error for each kind of bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foretrade.markets.bars import Bars, DataError
from foretrade.markets.sources import DataConfig, load, load_bars

NY = "America/New_York"


def frame(rows: int = 6) -> pd.DataFrame:
    close = 100 + np.arange(rows, dtype=float)
    return pd.DataFrame(
        {
            "Date": pd.bdate_range("2018-01-02", periods=rows).strftime("%Y-%m-%d"),
            "OPEN": close - 0.5,
            "High": close + 1,
            "low": close - 1,
            "Close": close,
            "Volume": 1000,
        }
    )


def read(path: Path, **options: object) -> Bars:
    return load_bars(DataConfig(source=str(path), **({"timezone": NY} | options)))


@pytest.mark.parametrize(
    ("name", "symbol", "close"), [("sp500", "GSPC", 2506.850098), ("nasdaq", "IXIC", 6635.279785)]
)
def test_packaged_indices(name, symbol, close):
    bars = load(name)
    assert bars.symbols == (symbol,)
    assert len(bars) == 5031
    assert str(bars.closes_at[0]) == "1999-01-04 21:00:00+00:00"
    assert bars.close[-1, 0] == close


def test_packaged_stocks_are_adjusted_for_splits_and_keep_their_gaps():
    bars = load("stocks")
    assert bars.symbols == ("AAPL", "GOOG", "IBM", "MSFT")
    apple = bars.select(["AAPL"])
    split = apple.dates.get_loc("2005-02-28")  # two for one
    assert abs(apple.close[split, 0] / apple.close[split - 1, 0] - 1) < 0.05
    goog = bars.column("GOOG")
    assert not bars.present[0, goog]
    assert bars.present[-1, goog]


def test_csv_and_parquet_give_the_same_bars(tmp_path):
    frame().to_csv(tmp_path / "own.csv", index=False)
    frame().to_parquet(tmp_path / "own.parquet")
    bars = read(tmp_path / "own.csv")
    assert bars.symbols == ("own",)
    assert str(bars.closes_at[0].tz_convert(NY)) == "2018-01-02 16:00:00-05:00"
    assert bars.content_hash == read(tmp_path / "own.parquet").content_hash


def test_a_long_table_and_a_folder_give_the_same_panel(tmp_path):
    one, two = frame(), frame().iloc[2:]
    pd.concat([one.assign(Ticker="A"), two.assign(Ticker="B")]).to_csv(tmp_path / "long.csv")
    folder = tmp_path / "folder"
    folder.mkdir()
    one.to_csv(folder / "A.csv", index=False)
    two.to_csv(folder / "B.csv", index=False)
    long, each = read(tmp_path / "long.csv"), read(folder)
    assert long.symbols == each.symbols == ("A", "B")
    assert long.content_hash == each.content_hash
    assert long.present.tolist() == [[True, False]] * 2 + [[True, True]] * 4


def test_intraday_bars_stamped_at_their_open_are_moved_to_their_close(tmp_path):
    hours = pd.date_range("2018-01-02 09:00", periods=6, freq="1h")
    frame().assign(Date=hours).to_csv(tmp_path / "hours.csv", index=False)
    bars = read(tmp_path / "hours.csv", timezone="UTC", frequency="1h", stamps="open")
    assert str(bars.closes_at[0]) == "2018-01-02 10:00:00+00:00"
    assert bars.periods_per_year > 5000


def test_a_market_without_weekends_has_to_say_how_many_bars_a_year_has(tmp_path):
    days = pd.date_range("2018-01-01", periods=60, freq="D")
    frame(60).assign(Date=days).to_csv(tmp_path / "coin.csv", index=False)
    with pytest.raises(DataError, match=r"27% of the daily bars are of .* --periods-per-year 365"):
        read(tmp_path / "coin.csv", timezone="UTC")
    assert read(tmp_path / "coin.csv", timezone="UTC", periods_per_year=365).periods_per_year == 365


def test_adjusting_scales_prices_and_keeps_the_traded_value(tmp_path):
    split = frame().assign(**{"Adj Close": lambda f: f["Close"] * np.where(f.index < 3, 0.5, 1.0)})
    split.to_csv(tmp_path / "s.csv", index=False)
    raw, adjusted = read(tmp_path / "s.csv"), read(tmp_path / "s.csv", adjust=True)
    assert adjusted.close[0, 0] == raw.close[0, 0] / 2
    np.testing.assert_allclose(adjusted.close * adjusted.volume, raw.close * raw.volume)


def changed(**cells: object) -> pd.DataFrame:
    """The frame with cells of row 3 replaced."""
    table = frame().astype(object)
    for column, value in cells.items():
        table.loc[3, column] = value
    return table


BAD = {
    "missing column": (frame().drop(columns="Close"), "column 'close' is missing; add it"),
    "missing volume": (frame().drop(columns="Volume"), "zeros, if the market reports none"),
    "no time": (frame().drop(columns="Date"), "no time column; name one of date"),
    "unsorted": (frame().iloc[[0, 2, 1, 3]], r"row 2 .*is earlier than the row before; sort the rows"),
    "duplicate": (frame().iloc[[0, 1, 1, 2]], r"row 2 .*repeats the row before; keep one row"),
    "NaN": (changed(Close=np.nan), r"column 'close', row 3 \(2018-01-05\): is NaN; fill the gap"),
    "zero price": (changed(low=0.0), r"column 'low', row 3 \(2018-01-05.*is not positive"),
    "negative price": (changed(OPEN=-5.0), r"column 'open', row 3 .*-5.0 is not positive"),
    "negative volume": (changed(Volume=-1), r"column 'volume', row 3 .*is negative"),
    "high below low": (changed(High=50.0), r"column 'high', row 3 .*50.0 is below the low"),
    "close outside": (changed(Close=500.0), r"column 'close', row 3 .*lies outside low … high"),
    "infinite": (changed(High=np.inf), r"column 'high', row 3 .*is infinite"),
    "text": (changed(Close="n/a?"), r"column 'close', row 3: 'n/a\?' is not a number"),
    "bad date": (changed(Date="31.12.x"), r"column 'Date', row 3: '31.12.x' is not a time; write"),
    "no rows": (frame().iloc[:0], "the file has no rows"),
    "number as date": (changed(Date=20180105), "column 'Date', row 3|holds numbers"),
    "numbers as dates": (
        frame().assign(Date=range(20180101, 20180107)),
        "holds numbers .first: 20180101",
    ),
    "twice": (frame().assign(close=1.0), "two columns are called 'close'"),
}


@pytest.mark.parametrize(("table", "message"), BAD.values(), ids=BAD.keys())
def test_bad_tables_are_refused_with_place_and_remedy(tmp_path, table, message):
    path = tmp_path / "bad.csv"
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert "bad" in str(caught.value)


def test_naive_times_need_a_timezone(tmp_path):
    frame().to_csv(tmp_path / "naive.csv", index=False)
    with pytest.raises(DataError, match=r"naive .*first: 2018-01-02.*--timezone"):
        read(tmp_path / "naive.csv", timezone="")
    with pytest.raises(DataError, match="timezone 'Mars/Olympus'.*check the name"):
        read(tmp_path / "naive.csv", timezone="Mars/Olympus")


def test_offsets_that_change_with_the_season_are_read(tmp_path):
    stamps = pd.date_range("2018-03-08 16:00", periods=6, freq="B", tz=NY)
    frame().assign(Date=[stamp.isoformat() for stamp in stamps]).to_csv(tmp_path / "o.csv", index=False)
    bars = read(tmp_path / "o.csv", timezone="")
    assert bars.closes_at.tolist() == stamps.tz_convert("UTC").tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frequency": "1W"}, "usually 1 days .* apart, which is not 1W"),
        ({"frequency": "1h"}, "which is not 1h"),
        ({"frequency": "banana"}, "frequency 'banana' is unknown; write 1D"),
        ({"stamps": "open"}, "stamps = 'open' needs intraday bars"),
        ({"session_close": "25:99"}, "session_close '25:99' is not a time"),
    ],
)
def test_a_calendar_that_does_not_fit_is_refused(tmp_path, options, message):
    frame().to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "c.csv", **options)
    assert read(tmp_path / "c.csv", frequency="1d").frequency == "1D"


def test_a_symbol_called_na_is_a_symbol(tmp_path):
    pd.concat([frame().assign(symbol="NA"), frame().assign(symbol="007")]).to_csv(tmp_path / "l.csv")
    assert read(tmp_path / "l.csv").symbols == ("007", "NA")


def test_two_files_of_one_symbol_are_refused_and_errors_name_the_file(tmp_path):
    frame().to_csv(tmp_path / "A.csv", index=False)
    frame().to_parquet(tmp_path / "A.parquet")
    with pytest.raises(DataError, match=r"A.csv and A.parquet are the same symbol"):
        read(tmp_path)
    (tmp_path / "A.parquet").unlink()
    changed(High=1.0).to_csv(tmp_path / "B.csv", index=False)
    with pytest.raises(DataError, match=r"B.csv: B: column 'high', row 3"):
        read(tmp_path)


def test_encodings_and_separators_have_their_own_remedy(tmp_path):
    (tmp_path / "u.csv").write_bytes("Date,Öpen\n".encode("utf-16"))
    with pytest.raises(DataError, match="not UTF-8 .*save it as UTF-8"):
        read(tmp_path / "u.csv")
    frame().to_csv(tmp_path / "s.csv", index=False, sep=";")
    with pytest.raises(DataError, match="separated by ';'; separate them by ','"):
        read(tmp_path / "s.csv")


def test_a_clock_change_that_makes_a_time_ambiguous_is_refused(tmp_path):
    hours = pd.date_range("2018-11-04 00:30", periods=6, freq="1h")
    frame().assign(Date=hours).to_csv(tmp_path / "dst.csv", index=False)
    with pytest.raises(DataError, match="give the times in UTC"):
        read(tmp_path / "dst.csv", frequency="1h")


def test_broken_files(tmp_path):
    whole = tmp_path / "whole.parquet"
    frame().to_parquet(whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut.parquet: cannot be read as parquet .*truncated"):
        read(cut)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match=r"empty.csv: the file is empty"):
        read(tmp_path / "empty.csv")
    (tmp_path / "table.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"unknown file type '.xlsx'; give .csv or .parquet"):
        read(tmp_path / "table.xlsx")
    with pytest.raises(DataError, match="no such file, and no packaged data set of that name"):
        load("sp5000")


def test_an_unknown_symbol_is_named_beside_the_known_ones():
    with pytest.raises(DataError, match="unknown symbol 'TSLA'; it holds AAPL, GOOG, IBM, MSFT"):
        load("stocks", "TSLA")


def actions_file(tmp_path: Path, closes: list[float], **columns: list[float]) -> DataConfig:
    days = pd.bdate_range("2020-01-01", periods=len(closes))
    frame = pd.DataFrame({"Date": days, "Open": closes, "High": closes, "Low": closes, "Close": closes})
    frame["Volume"] = 1000.0
    path = tmp_path / "prices.csv"
    frame.assign(**columns).to_csv(path, index=False)
    return DataConfig(str(path), timezone="UTC", corporate_actions=True)


def test_dividends_and_splits_are_read_if_asked_for(tmp_path):
    columns = {"Dividends": [0, 0, 1.0, 0], "Stock Splits": [0, 2.0, 0, 0]}
    bars = load_bars(actions_file(tmp_path, [100.0, 51.0, 50.0, 52.0], **columns))
    assert bars.has_corporate_actions
    assert bars.split[:, 0].tolist() == [1, 2, 1, 1]
    assert bars.dividend[:, 0].tolist() == [0, 0, 1, 0]
    total = bars.as_total_return().close[:, 0]
    assert total[1:] / total[:-1] == pytest.approx([1.02, 51 / 51, 1.04])
    assert not bars.as_total_return().has_corporate_actions
    assert bars.rows(2, 4).dividend[:, 0].tolist() == [1, 0]
    assert bars.content_hash != bars.as_total_return().content_hash


def test_corporate_actions_that_cannot_be_are_refused(tmp_path):
    config = actions_file(tmp_path, [100.0, 101.0, 102.0], **{"Stock Splits": [0, 2.0, 0]})
    with pytest.raises(DataError, match=r"row 1 \(2020-01-02\): a split of 2, which the price does not"):
        load_bars(config)
    with pytest.raises(DataError, match="needs a column 'Dividends' or 'Stock Splits'"):
        load_bars(actions_file(tmp_path, [100.0, 101.0]))
    with pytest.raises(DataError, match="choose one of the two"):
        load_bars(replace(config, adjust=True))
    with pytest.raises(DataError, match=r"column 'dividend', row 1 .* is impossible; write 0"):
        load_bars(actions_file(tmp_path, [100.0, 101.0], Dividends=[0, -1.0]))
