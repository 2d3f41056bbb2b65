"""From ticks to orders: features, signal, quotes, checks; and the replay venue that fills them."""

from calibrig.engine.features import FeatureRows, extract_features
from calibrig.engine.limits import REASONS, PreTradeLimits
from calibrig.engine.loop import FILL_MODELS, Engine, replay
from calibrig.engine.paths import MinuteRows, PathResults, replay_days
from calibrig.engine.replay_result import ACTIONS, FILL_KINDS, Columns, Replay

__all__ = [
    "ACTIONS",
    "FILL_KINDS",
    "FILL_MODELS",
    "REASONS",
    "Columns",
    "Engine",
    "FeatureRows",
    "MinuteRows",
    "PathResults",
    "PreTradeLimits",
    "Replay",
    "extract_features",
    "replay",
    "replay_days",
]
