"""What happened is written down: exchanges and what was said of them."""
