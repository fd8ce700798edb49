"""`python -m examples.demo`."""

import sys

if __name__ == "__main__":
    try:
        from examples.demo.cli import main

        sys.exit(main())
    except KeyboardInterrupt:  # before anything was started
        sys.exit(0)
