"""`python -m ocrd`: the same program as `ocrd`."""

from ocrd.cli.main import main

if __name__ == "__main__":  # the fork server imports this module again in each child
    main()
