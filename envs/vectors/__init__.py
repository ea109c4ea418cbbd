"""Vector environments: stepped in turn or in processes, all rows at once, by EnvPool, or brought by the user.

Every one resets a row in the step that ends its episode.
"""
