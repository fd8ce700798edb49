"""Red-DiscordBot at a simulator: ``python -m tests.integration.red_bot URL TOKEN OWNER ARGUMENT ...``."""

import sys

from redbot.__main__ import main  # first of all, for it chooses the event loop

from examples.discord_simulator import point_at

if __name__ == "__main__":
    _, url, token, owner, *more = sys.argv
    sys.argv[1:] = ["--no-instance", "--no-prompt", "--prefix", "!", "--token", token, "--owner", owner, *more]
    point_at(url)
    main()
