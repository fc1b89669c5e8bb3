"""`python -m anabranch_hub` is `anabranch-hub`."""

from anabranch_hub.cli import main

if __name__ == "__main__":
    main()
