"""What the time of an answer tells about an address."""
