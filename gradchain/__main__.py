"""``python -m gradchain`` is the command ``gradchain``."""

import sys

from gradchain.cli import main

if __name__ == "__main__":
    sys.exit(main())
