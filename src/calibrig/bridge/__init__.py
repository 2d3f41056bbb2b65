"""The hardware-in-the-loop bridge: inference in software or on a card, with health and latency statistics."""

from calibrig.bridge.alert_targets import AlertTarget, ExecTarget, WebhookTarget, open_alert_target
from calibrig.bridge.alerts import Alert, AlertCounts, AlertOutbox
from calibrig.bridge.device import CARD_ABI_VERSION, CARD_IDENTITY_WORD, Device, DeviceIdentity
from calibrig.bridge.devices import open_device
from calibrig.bridge.hardware_bridge import Answer, FeatureBuffer, HardwareInTheLoopBridge, LatencyHistogram
from calibrig.bridge.health import (
    HEALTH_TABLE,
    AcceleratorMode,
    Fault,
    HardwareStatus,
    HealthEvent,
    Source,
    StatusChange,
)
from calibrig.bridge.statistics import LatencyStats
from calibrig.bridge.status_block import BridgeSnapshot, read_bridge_status
from calibrig.bridge.watcher import StatusWatcher

__all__ = [
    "CARD_ABI_VERSION",
    "CARD_IDENTITY_WORD",
    "HEALTH_TABLE",
    "AcceleratorMode",
    "Alert",
    "AlertCounts",
    "AlertOutbox",
    "AlertTarget",
    "Answer",
    "BridgeSnapshot",
    "Device",
    "DeviceIdentity",
    "ExecTarget",
    "Fault",
    "FeatureBuffer",
    "HardwareInTheLoopBridge",
    "HardwareStatus",
    "HealthEvent",
    "LatencyHistogram",
    "LatencyStats",
    "Source",
    "StatusChange",
    "StatusWatcher",
    "WebhookTarget",
    "open_alert_target",
    "open_device",
    "read_bridge_status",
]
