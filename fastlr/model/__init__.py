"""The trained model: predictions, its file, and what it says of pictures."""
