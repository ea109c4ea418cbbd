"""JoyRL's own settings files, all three generations, read as files of this project: `translate` is the way in, `tables`
has what its words mean here, `algorithms` and `layers` the rules, `draft` what a translation has found so far.
"""
