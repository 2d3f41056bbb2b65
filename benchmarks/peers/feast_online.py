"""Read one entity's features from Feast's online store on SQLite: prints the median in seconds as one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig
from feast.types import Float64

NAMES = ("alpha_self", "alpha_cross", "beta", "gamma", "lambda_base")


def main() -> None:
    """Write five features of one symbol to the online store, then read them."""
    folder = Path(sys.argv[1])
    now = datetime.now(UTC)
    row = {"symbol": "BTCUSDT", "event_timestamp": now, **dict.fromkeys(NAMES, 0.31)}
    pd.DataFrame([row]).to_parquet(folder / "hawkes.parquet")
    store = FeatureStore(
        config=RepoConfig(
            project="calibrig",
            registry=str(folder / "registry.db"),
            provider="local",
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    symbol = Entity(name="symbol", join_keys=["symbol"])
    view = FeatureView(
        name="hawkes",
        entities=[symbol],
        ttl=timedelta(days=30),
        schema=[Field(name=name, dtype=Float64) for name in NAMES],
        source=FileSource(path=str(folder / "hawkes.parquet"), timestamp_field="event_timestamp"),
    )
    store.apply([symbol, view])
    store.write_to_online_store("hawkes", pd.DataFrame([row]))
    wanted = [f"hawkes:{name}" for name in NAMES]
    times = []
    for _ in range(300):
        start = time.perf_counter()
        found = store.get_online_features(features=wanted, entity_rows=[{"symbol": "BTCUSDT"}]).to_dict()
        times.append(time.perf_counter() - start)
    if found["beta"] != [0.31]:
        raise SystemExit(f"not what was written: {found}")
    print(json.dumps({"median_s": statistics.median(times)}))


main()
