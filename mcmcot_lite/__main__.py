"""``python -m mcmcot_lite``: the command line."""

import sys

from mcmcot_lite.cli import main

if __name__ == "__main__":
    sys.exit(main())
