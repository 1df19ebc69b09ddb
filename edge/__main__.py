"""`python -I -m bonedge.edge`: the command, for services that must not look for it on a path."""

from bonedge.edge.cli import main

if __name__ == "__main__":
    main()
