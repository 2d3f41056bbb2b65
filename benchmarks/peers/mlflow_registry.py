"""Get a model version from MLflow's registry on SQLite: prints the median in seconds as one JSON line."""

from __future__ import annotations

import json
import statistics
import sys
import time

from mlflow import MlflowClient


def main() -> None:
    """Register one version with its parameters as tags, then read it by name and number."""
    url = f"sqlite:///{sys.argv[1]}/mlflow.db"
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    client.create_registered_model("BTCUSDT")
    tags = {"alpha_self": "0.31", "alpha_cross": "0.09", "beta": "0.47", "gamma": "2.13"}
    client.create_model_version("BTCUSDT", source=sys.argv[1], tags=tags)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        client.get_model_version("BTCUSDT", "1")
        times.append(time.perf_counter() - start)
    print(json.dumps({"median_s": statistics.median(times)}))


main()
