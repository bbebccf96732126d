"""The part that travels to the host: standard library only, Python >= 3.9, imports nothing above itself."""
