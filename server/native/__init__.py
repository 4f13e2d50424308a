"""What every native door needs besides its protocol: arrivals, targets, tokens, sessions."""
