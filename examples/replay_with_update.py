"""Replay ticks through the engine that trades live, and change its parameters half-way without a restart."""

import msgspec

from calibrig import fit_quoting, simulate_market
from calibrig.engine import replay
from calibrig.parameters import ParameterSet, RiskParameters

market = simulate_market(seed=7, sessions=2, session_s=3_600.0).market
first_end = int(market.sessions[0, 1])
earlier, later = market.between(0, first_end), market.between(first_end, int(market.sessions[-1, 1]))

quoting = fit_quoting(earlier).parameters
risk = RiskParameters(
    max_position=50,
    normal_volatility_threshold=2.0,
    elevated_volatility_threshold=3.0,
    high_stress_volatility_threshold=5.0,
)
before = ParameterSet(symbol="SIM", quoting=quoting, risk=risk)
after = msgspec.structs.replace(before, risk=msgspec.structs.replace(risk, max_position=20))
half = (len(later.trades) + len(later.quotes)) // 2

result = replay(later, before, updates=[(half, after)])
print(result.summary())
print(f"the tighter limit was in force from event {int(result.updates.event[-1]):,} on")
assert result.digest() == replay(later, before, updates=[(half, after)]).digest()
