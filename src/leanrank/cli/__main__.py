"""``python -m leanrank.cli``."""

from leanrank.cli import main

main()
