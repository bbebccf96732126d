"""One file a module: the file's name is the module's.

Offers every module in it.
"""
