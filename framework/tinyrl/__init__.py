"""TinyRL's names: agents of a dictionary, a logger, a base for agents of one's own, what an environment needs.

They are doors to the parts that everything else here uses.
"""
