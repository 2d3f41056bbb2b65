"""Calibrate two models on ticks, look at their judgement, and store what may be stored."""

from calibrig import ModelStore, fit_hawkes, fit_quoting, simulate_market

simulated = simulate_market(seed=7, sessions=3, session_s=3_600.0)
market, truth = simulated.market, simulated.truth

hawkes = fit_hawkes(market.trades)
quoting = fit_quoting(market)
for name in ("beta", "gamma", "lambda_base"):
    estimate, error = getattr(hawkes.parameters, name), hawkes.standard_errors[name]
    print(f"{name:12s} {estimate:8.4f} +- {error:.4f}   truth {getattr(truth.hawkes, name):.4f}")
print(
    f"{'kappa':12s} {quoting.parameters.kappa:8.4f} +- {quoting.standard_errors['kappa']:.4f}   truth {truth.kappa:.4f}"
)

with ModelStore("sqlite:///calibrig.db") as store:
    for fit, update in ((hawkes, store.update_hawkes_parameters), (quoting, store.update_as_parameters)):
        if not fit.verdict.deployable:
            print(f"not stored: {fit.verdict}, {fit.reason}")
            continue
        version = update("SIM", fit.parameters, "example", "first calibration", evidence=fit.evidence)
        print(f"stored {version.kind} v{version.version_id}: {fit.verdict}")
    print("chain verified:", store.verify().ok)
