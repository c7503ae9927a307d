"""`python -m leveret`: the command line."""

from leveret.cli.start import main

if __name__ == "__main__":
    main()
