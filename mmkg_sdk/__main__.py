"""`python -m mmkg_sdk` is `mmkg-sdk`."""

from .cli.main import main

if __name__ == "__main__":
    main()
