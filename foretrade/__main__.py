"""``python -m foretrade``: the command line."""

from foretrade.cli import main

if __name__ == "__main__":
    main()
