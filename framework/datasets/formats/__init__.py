"""One reader for each file format: whole episodes of one shape, and the spaces and facts where a file knows them."""
