"""Contract suites, doubles and fault campaigns that strangers can inherit."""

from calibrig.testing.alerts import AlertSink, SinkAnswer
from calibrig.testing.bridge_campaign import BridgeProof, prove_bridge
from calibrig.testing.device_contract import DeviceContract
from calibrig.testing.devices import Misbehaviour, ScriptedDevice, TwinDevice, encode_reply

__all__ = [
    "AlertSink",
    "BridgeProof",
    "DeviceContract",
    "Misbehaviour",
    "ScriptedDevice",
    "SinkAnswer",
    "TwinDevice",
    "encode_reply",
    "prove_bridge",
]
