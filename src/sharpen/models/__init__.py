"""Where tokens come from: engines that answer as a named version, and the weights they load."""
