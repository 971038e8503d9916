"""`python -m pointstill` is the command line."""

from .cli import main

main()
