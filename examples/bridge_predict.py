"""Predict through the bridge: the strategy's code stays the same when a card replaces the software."""

from calibrig import AcceleratorMode, HardwareInTheLoopBridge, MicrostructureFeatures

with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB) as bridge:
    bridge.initialize()
    for imbalance in (-0.8, 0.0, 0.8):
        signal = bridge.predict(MicrostructureFeatures(depth_imbalance=imbalance, spread_ticks=1.0))
        print(f"depth imbalance {imbalance:+.1f} -> signal {signal:+.3f} half-spreads")
    stats = bridge.get_latency_stats()
    print(f"{bridge.get_status()}, {stats.count} calls, p50 {stats.p50:.0f} ns, p99 {stats.p99:.0f} ns")
    print("meets 400 ns:", bridge.meets_latency_sla(400.0))
