"""What a training run needs that takes hours: checkpoints, a dev share, an end in time, and news for the parent."""
