"""What a machine used over days, whatever ran on it: reading it, adding it up, saying it."""
