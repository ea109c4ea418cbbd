"""The loop in one process and its parts: worker, learner, evaluator, trainer, callbacks, recorder.

The parts hold no handle to each other, take values and return values; nothing here knows of Ray.
"""
