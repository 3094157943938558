"""What changes a model itself: ordered here, done in the job's interpreter, kept step by step."""
