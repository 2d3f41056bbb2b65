"""What every test may rely on: the same examples each time, and a Ctrl-C that works."""

import signal

from hypothesis import HealthCheck, settings

# Every run tries the same examples, however slow the machine. `--hypothesis-profile explore` looks for new ones.
settings.register_profile(
    "seeded", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("seeded")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, a shell's child ignores Ctrl-C, and so would the processes that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
