"""Ways to reach a person, one file each. All but the log run in a process of their own."""
