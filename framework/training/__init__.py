"""The loop in one process and its parts: worker, learner, evaluator, trainer, callbacks, recorder.

The parts take and return values and hold no handles to each other; nothing here depends on Ray.
"""
