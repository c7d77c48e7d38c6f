"""`python -m etl`: the command."""

from etl.cli import main

if __name__ == "__main__":
    main()
