"""The ledger of trials: nothing is counted twice, nothing is lost, nothing can be changed unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretrade.backtests.chain import START, Chain, ChainError, Head
from foretrade.backtests.deflation import expected_best_sharpe
from foretrade.backtests.significance import sharpe_ratio
from foretrade.backtests.trials import Ledger, Trial, Trials, TrialsError, count


def trial(number: int = 0, **changes: object) -> Trial:
    returns = np.random.default_rng(number).normal(0, 0.01, 100)
    made = Trial("rule", f"rule-{number}", "run", "config", "data", "SPX", "validation", returns)
    return replace(made, **changes)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "trials.jsonl")


def test_a_trial_is_recorded_once(ledger):
    head = ledger.record([trial(0), trial(1), trial(0)])
    assert head.length == 2
    assert ledger.record([trial(1), trial(0)]) == head
    assert ledger.faults({"this": head}) == []


def test_another_configuration_adds_up_unless_it_changes_nothing(ledger):
    ledger.record([trial(0), trial(1)])
    ledger.record([trial(0, config="other", name="rule-0", returns=trial(7).returns)])
    assert len(ledger.records("data", "validation")) == 3
    head = ledger.record([trial(1, config="other")])
    assert head.length == 4  # the other run showed it too
    assert len(ledger.records("data", "validation")) == 3


def test_a_result_that_changed_with_the_code_is_another_trial(ledger):
    ledger.record([trial(0)])
    ledger.record([trial(0, returns=trial(1).returns)])
    assert len(ledger.records("data", "validation")) == 2


def test_other_data_and_blocks_are_apart_and_another_name_of_a_symbol_is_not(ledger):
    others = ({"data": "other"}, {"symbol": "prices_2024"}, {"block": "test"})
    ledger.record([trial(0), trial(1), *(trial(0, **other) for other in others)])
    assert ledger.places() == {"data": "SPX", "other": "SPX"}
    assert len(ledger.records("data", "validation")) == 2
    assert len(ledger.records("data", "test")) == 1
    assert len(ledger.records("other", "validation")) == 1
    assert ledger.trials("data", bars=100).count == 3  # on either block
    assert ledger.trials("none", bars=100) == Trials(0, 0.01)


def test_the_variance_is_that_of_the_ratios_chosen_from_scaled_to_the_bars_judged(ledger):
    chosen_from = [trial(k, returns=trial(k).returns + 0.01 * (k % 2)) for k in range(5)]
    idle, loses = trial(9, returns=np.zeros(100)), trial(8, returns=trial(8).returns - 1, block="test")
    ledger.record([*chosen_from, idle, loses])
    sharpes = [sharpe_ratio(item.returns) for item in chosen_from] + [0.0]
    found = ledger.trials("data", bars=100)
    best = max(expected_best_sharpe(k, np.var(sharpes[:k], ddof=1)) for k in range(2, 7))
    later = expected_best_sharpe(7, np.var(sharpes, ddof=1))
    assert found.count == 7
    assert expected_best_sharpe(7, found.variance) == pytest.approx(max(best, later))
    assert ledger.trials("data", bars=400).variance == pytest.approx(found.variance / 4)


def test_trials_that_are_all_alike_spread_as_luck_does(ledger):
    """One over the number of bars (Lo 2002), as the ratios of strategies without skill do."""
    alike = [trial(k, returns=trial(0).returns) for k in range(9)]
    for tried in ([trial(0, block="test")], alike):
        ledger.record(tried)
        assert ledger.trials("data", bars=250).variance == 1 / 250
    skill_free = np.random.default_rng(1).normal(size=(4000, 250))
    ratios = skill_free.mean(axis=1) / skill_free.std(axis=1, ddof=1)
    assert ratios.var() == pytest.approx(1 / 250, rel=0.1)


@given(
    sharpes=st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=12),
    on_test=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_a_trial_more_never_makes_the_best_look_better(sharpes, on_test):
    records = [
        {"sharpe": sharpe, "bars": 100, "block": "test" if test else "validation"}
        for sharpe, test in zip(sharpes, on_test, strict=False)
    ]
    found = [count(records[: k + 1], bars=100) for k in range(len(records))]
    luck = [expected_best_sharpe(trials.count, trials.variance) for trials in found]
    assert (np.diff(luck) >= -1e-12).all()


def test_the_order_in_which_a_batch_was_done_changes_nothing(tmp_path):
    """Trained at once by several processes, or stopped and gone on; what comes later stays later."""
    training = {"kind": "checkpoint", "config": "tried", "after": 1}
    batch = [trial(k, name=f"ppo@{k}", **training) for k in (1, 2, 10)]
    for order in ([0, 1, 2], [2, 0, 1]):
        ledger = Ledger(tmp_path / str(order) / "trials.jsonl")
        ledger.record([trial(30)])
        assert ledger.begun({("tried", "ppo")}) == 1
        ledger.record([batch[order[0]]])
        ledger.record([trial(31)])
        assert ledger.begun({("tried", "ppo")}) == 1
        assert ledger.begun({("other", "ppo")}) == 3
        ledger.record([batch[k] for k in order])
        names = [record["name"] for record in ledger.records("data")]
        assert names == ["rule-30", "ppo@1", "ppo@2", "ppo@10", "rule-31"]


def test_returns_are_read_as_they_were_recorded(ledger):
    ledger.record([trial(0)])
    record = ledger.records("data", "validation")[0]
    np.testing.assert_array_equal(ledger.returns(record), trial(0).returns)
    path = ledger.path.parent / "trials" / f"{record['series']}.npy"
    assert ledger.damaged() == []
    np.save(path, np.zeros(100))
    with pytest.raises(TrialsError, match="the returns of rule-0 were changed"):
        ledger.returns(record)
    path.unlink()
    with pytest.raises(TrialsError, match="no returns of rule-0 there; 'foretrade report' of run run"):
        ledger.returns(record)
    assert len(ledger.damaged()) == 1
    ledger.record([trial(0)])  # as it says
    assert ledger.damaged() == []


@pytest.mark.parametrize("returns", [[0.1], [0.1, np.nan], [[0.1, 0.2]]])
def test_returns_that_mean_nothing_are_refused(ledger, returns):
    with pytest.raises(TrialsError, match="rule rule-0: needs two and more returns, all finite"):
        ledger.record([trial(0, returns=np.array(returns))])
    assert not ledger.path.exists()


def test_a_line_that_is_no_trial_is_told_and_not_counted(ledger):
    ledger.record([trial(0)])
    head = ledger.chain.append([{"kind": "rule", "sharpe": "high"}], lambda record: str(record))
    assert len(ledger.records("data", "validation")) == 1
    assert ledger.faults({"this": head}) == [f"{ledger.path}: line 2 is no trial"]


LINES = 6
MEDDLING = st.one_of(
    st.tuples(st.just("edit"), st.integers(0, LINES - 1), st.integers(0, 500), st.integers(1, 255)),
    st.tuples(st.just("delete"), st.integers(0, LINES - 1)),
    st.tuples(st.just("double"), st.integers(0, LINES - 1), st.integers(0, LINES)),
    st.tuples(st.just("swap"), st.integers(0, LINES - 1), st.integers(0, LINES - 1)),
    st.tuples(st.just("renumber"), st.integers(0, LINES - 1)),
)


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> tuple[Chain, Head, bytes]:
    chain = Chain(tmp_path_factory.mktemp("chain") / "trials.jsonl")
    head = chain.append([{"trial": n, "sharpe": 0.1 * n} for n in range(LINES)], lambda r: r["trial"])
    return chain, head, chain.path.read_bytes()


def meddled(content: bytes, how: tuple) -> bytes:
    lines = content.splitlines(keepends=True)
    kind, number, *rest = how
    if kind == "edit":
        place = rest[0] % len(lines[number])
        line = bytearray(lines[number])
        line[place] ^= rest[1]
        lines[number] = bytes(line)
    elif kind == "delete":
        del lines[number]
    elif kind == "double":
        lines.insert(rest[0], lines[number])
    elif kind == "swap":
        lines[number], lines[rest[0]] = lines[rest[0]], lines[number]
    else:
        lines[number] = lines[number].replace(b'"number": ', b'"number": 1')
    return b"".join(lines)


@given(how=MEDDLING)
def test_whatever_is_done_to_a_line_is_seen(chain, how):
    file, head, content = chain
    changed = meddled(content, how)
    file.path.write_bytes(changed)
    faults = file.faults({"the run": head})
    assert bool(faults) == (changed != content)
    if faults and "torn" not in faults[0]:
        pairs = zip(changed.split(b"\n"), content.split(b"\n"), strict=False)
        differs = next(number for number, (new, old) in enumerate(pairs, 1) if new != old)
        named = int(faults[0].split(": line ")[1].split()[0])
        assert named in (differs, differs + 1, LINES)


def test_the_last_line_taken_out_is_seen_by_who_kept_the_end(chain):
    file, head, content = chain
    file.path.write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))
    assert file.faults({}) == []
    place = f"{file.path}: line {LINES}"
    assert file.faults({"run one": head}) == [
        f"{place} is missing: there were {LINES} lines when run one was recorded"
    ]
    file.path.unlink()
    assert "line 1 is missing" in file.faults({"run one": head})[0]


def test_a_torn_line_is_told_and_never_mended(chain):
    file, head, content = chain
    torn = content[:-10]
    file.path.write_bytes(torn)
    assert any(f"line {LINES} is torn" in fault for fault in file.faults({}))
    assert len(file.records()) == LINES - 1
    with pytest.raises(ChainError, match=f"line {LINES} is torn: .*delete this last line"):
        file.append([{"trial": 99}], lambda record: record["trial"])
    assert file.path.read_bytes() == torn
    file.path.write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))  # as it says
    again = file.append([{"trial": 5, "sharpe": 0.5}], lambda record: record["trial"])
    assert again == head
    assert file.path.read_bytes() == content


def test_what_is_appended_to_a_broken_chain_does_not_hide_it(chain):
    file, _, content = chain
    file.path.write_bytes(content.replace(b'"trial": 2', b'"trial": 7'))
    file.append([{"trial": 99}], lambda record: record["trial"])
    faults = file.faults({})
    assert len(faults) == 1
    assert "line 4 does not follow line 3" in faults[0]


def test_a_first_line_that_was_moved_there_is_told_so(chain):
    file, _, content = chain
    first, second, *rest = content.splitlines(keepends=True)
    file.path.write_bytes(b"".join([second, first, *rest]))
    assert "line 1 begins no record: it was changed, moved" in file.faults({})[0]


def test_an_empty_chain_is_whole(tmp_path):
    chain = Chain(tmp_path / "none.jsonl")
    assert (chain.records(), chain.faults({})) == ([], [])
    assert chain.append([], lambda record: 0) == Head(0, START)


APPEND = """
import sys
from pathlib import Path
from foretrade.backtests.chain import Chain
chain = Chain(Path(sys.argv[1]))
for n in range(50):
    chain.append([{"who": sys.argv[2], "n": n}, {"who": "shared", "n": n}], lambda r: (r["who"], r["n"]))
"""


def test_processes_that_append_at_once_lose_nothing(tmp_path):
    path = tmp_path / "trials.jsonl"
    running = [subprocess.Popen([sys.executable, "-c", APPEND, path, str(k)]) for k in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    chain = Chain(path)
    found = [(record["who"], record["n"]) for record in chain.records()]
    whose = ("0", "1", "2", "3", "shared")
    assert sorted(found) == sorted((who, n) for who in whose for n in range(50))
    assert chain.faults({}) == []


def test_the_file_is_plain_json_lines(ledger):
    ledger.record([trial(0)])
    record = json.loads(Path(ledger.path).read_text())
    assert (record["number"], record["previous"], record["bars"]) == (1, START, 100)
