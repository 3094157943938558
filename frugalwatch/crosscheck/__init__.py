"""Second opinions: what other trackers say of the same window, side by side with ours."""
