from . import bridge as bridge
from . import engine as engine
from . import hawkes as hawkes
from . import market as market
from . import signal as signal
from . import store as store

def isa() -> str: ...
