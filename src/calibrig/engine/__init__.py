"""From ticks to orders: features, signal, quotes, checks; and the replay venue that fills them."""

from calibrig.engine.features import FeatureRows, extract_features

__all__ = ["FeatureRows", "extract_features"]
