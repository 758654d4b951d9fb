"""sharpen."""
