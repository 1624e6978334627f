"""The sets that `se3ref.systems.datasets` reads; how they were made stands in data/ beside the package."""
