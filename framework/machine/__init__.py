"""What the machine gives: threads of torch, memory that is kept between updates, and what `auto` stands for.

The number of cores and the config decide, never a measurement.
"""
