"""``python -m calibrig.cli``: the same as ``calibrig``."""

from calibrig.cli import main

main()
