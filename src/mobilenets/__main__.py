"""``python -m mobilenets``: the command line, where its program is not on the path."""

from mobilenets.cli.main import main

if __name__ == "__main__":
    main()
