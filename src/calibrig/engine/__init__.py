"""The trading loop: tick, features, signal, quotes, checks, orders; the same in replay and live."""
