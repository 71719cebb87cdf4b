"""`python -m cli`: the command line without its console script, for supervised programs."""

from cli.entry import main

main()
