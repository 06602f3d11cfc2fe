"""The release tool: `python3 deploy/release`, or in one file, `/opt/<slug>/release.pyz`."""

import sys

if sys.version_info < (3, 9):  # noqa: UP036 - this is where an older one is told so
    sys.exit("The release tool needs Python 3.9 or later; run it with a newer python3")

from release.cli import main

if __name__ == "__main__":
    sys.exit(main())
