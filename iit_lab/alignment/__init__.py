"""Which variable lives at which sites."""
