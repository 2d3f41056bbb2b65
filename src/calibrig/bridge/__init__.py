"""The hardware-in-the-loop bridge: inference in software or on a card, with health and latency statistics."""
