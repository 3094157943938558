"""What monitoring systems are told, and by which names."""
