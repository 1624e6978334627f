"""What makes the chapters and the book."""
