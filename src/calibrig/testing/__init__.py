"""Contract suites, doubles and fault campaigns that strangers can inherit."""

from calibrig.testing.alerts import AlertSink, SinkAnswer
from calibrig.testing.bridge_campaign import BridgeProof, prove_bridge
from calibrig.testing.device_contract import DeviceContract
from calibrig.testing.devices import Misbehaviour, ScriptedDevice, TwinDevice, encode_reply
from calibrig.testing.proxy import FaultProxy
from calibrig.testing.store import StoreContract
from calibrig.testing.store_doubles import FlakyBackend, SlowBackend
from calibrig.testing.store_recording import RecordingBackend, ReplayedBackend

__all__ = [
    "AlertSink",
    "BridgeProof",
    "DeviceContract",
    "FaultProxy",
    "FlakyBackend",
    "Misbehaviour",
    "RecordingBackend",
    "ReplayedBackend",
    "ScriptedDevice",
    "SinkAnswer",
    "SlowBackend",
    "StoreContract",
    "TwinDevice",
    "encode_reply",
    "prove_bridge",
]
