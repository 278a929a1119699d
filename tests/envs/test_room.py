"""What the kernel finds at an address is what was put there, and nothing of another type gets there."""

import numpy as np
import pytest

from foretrade.envs.market import MarketEnv
from foretrade.envs.room import ROOM, Room, new_outcome, room_at
from foretrade.markets.accounts import new_accounts
from foretrade.markets.compiled import Packed, compiled
from foretrade.markets.trading import new_workspace


@pytest.fixture(scope="module")
def room(walk):
    market = MarketEnv(walk).market
    return Room(market, new_accounts(3), new_workspace(1), new_outcome(3, 1, tells=True))


@compiled
def found(address):
    room = room_at(address)
    room.accounts.account[0, 1] = room.market.prices[2, 0, 0]
    return room.accounts.total, room.market.lookback_bars, room.outcome.told.shape[1]


def test_compiled_code_reads_and_writes_the_arrays_themselves(room):
    packed = Packed(ROOM, room)
    told = room.outcome.told.shape[1]
    assert found(np.uint64(packed.address)) == (3, room.market.lookback_bars, told)
    assert room.accounts.account[0, 1] == room.market.prices[2, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [lambda prices: prices.astype(np.float32), np.asfortranarray, lambda prices: prices[0]],
    ids=["of another type", "in another order", "of another dimension"],
)
def test_arrays_that_compiled_code_would_misread_are_refused(room, wrong):
    market = room.market._replace(reference=wrong(room.market.reference))
    with pytest.raises(TypeError, match="cannot serve as"):
        Packed(ROOM, room._replace(market=market))
