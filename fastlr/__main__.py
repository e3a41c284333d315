"""`python -m fastlr` is the command `fastlr`."""

import sys

from fastlr.cli import main

sys.exit(main())
