"""The demo: a support desk whose messages have to reach the right team, told from before to after."""
