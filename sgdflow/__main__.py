"""`python -m sgdflow` is the command line."""

import sys

from sgdflow.cli.main import main

sys.exit(main())
