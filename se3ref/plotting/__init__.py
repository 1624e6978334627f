"""Figures: imported by chapters and by whoever wants to look, never by the rest of the library."""
