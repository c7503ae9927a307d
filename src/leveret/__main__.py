"""`python -m leveret`: the command line."""

from leveret.cli.main import main

if __name__ == "__main__":
    main()
