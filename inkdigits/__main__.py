"""`python -m inkdigits`."""

from inkdigits.cli.main import main

if __name__ == "__main__":
    main()
