"""A cluster without Ray: actors live in this process and run their calls at once; tests say what is late or fails."""

import pickle
import time
import traceback
from collections import defaultdict
from itertools import count

from framework.distributed import resources
from framework.distributed.cluster import Cluster
from framework.distributed.failures import CallFailed, RayLost, cause_in


def sent(value):
    """What the other side gets: a copy by pickle, whose arrays cannot be written to."""
    buffers = []
    plain = pickle.dumps(value, 5, buffer_callback=buffers.append)
    return pickle.loads(plain, buffers=[bytes(buffer.raw()) for buffer in buffers])


class FakeRef:
    """The value of a call, or its `error`; `late`: it arrives when somebody waits for it, `hangs`: never."""

    def __init__(self, value=None, error=None, late=False, hangs=False):
        self.value, self.error, self.late, self.hangs = value, error, late, hangs


class FakeMethod:
    """A method of an actor, with Ray's `remote` and `options`."""

    def __init__(self, handle, name, returns=1):
        self.handle, self.name, self.returns = handle, name, returns

    def options(self, num_returns):
        return FakeMethod(self.handle, self.name, num_returns)

    def remote(self, *args):
        value, error = None, None
        cluster, handle, name = self.handle.cluster, self.handle, self.name
        cluster.calls.append((handle.name, name, args))
        try:
            given = [cluster.get(arg) if isinstance(arg, FakeRef) else sent(arg) for arg in args]
        except CallFailed as failure:
            error = CallFailed(failure.cause, lost_input=True)
        else:
            value, error = self._run(given)
        late, hangs = name in cluster.late, name in cluster.hanging
        values = [None] * self.returns if error else [value] if self.returns == 1 else value
        refs = [FakeRef(one, error, late, hangs) for one in values]
        return refs[0] if self.returns == 1 else refs

    def _run(self, given):
        cluster = self.handle.cluster
        if self.handle in cluster.killed:
            return None, CallFailed("its process died (killed, or out of memory)")
        failure = cluster.failing[self.name].pop(0) if cluster.failing[self.name] else None
        if failure is not None:
            return None, failure
        try:
            return sent(getattr(self.handle.actor, self.name)(*given)), None
        except Exception:  # as Ray: whatever it is, it is told to who asked
            text = traceback.format_exc()
            return None, CallFailed(cause_in(text), text)


class FakeHandle:
    def __init__(self, cluster, actor, name):
        self.cluster, self.actor, self.name = cluster, actor, name

    def __getattr__(self, name):
        return FakeMethod(self, name)


class FakeCluster(Cluster):
    """Cluster's own `ready`, `deadline`, `value` and `required` over the above.

    Tests steer by method name: `late` and `hanging` (sets), `failing` (errors of the next calls, None: none).
    `stand_ins` has a class to be built in the place of an actor's. `calls` lists (part, method, arguments).
    """

    def __init__(self, cfg, spec=None, envs=None):
        self.general, self.begun, self.session = cfg.general_cfg, time.monotonic(), None
        self.lost = None  # what of Ray itself is gone
        self.handles, self.killed, self.calls, self.asked = {}, [], [], []
        self.late, self.hanging, self.failing = set(), set(), defaultdict(list)
        self.stand_ins, self.names, self.gpus = {}, defaultdict(count), 0
        self.share = resources.cpu_share(1, [4.0])

    head = "127.0.0.1"

    def spawn(self, kind, *args, gpus=0):
        name = f"{kind.__name__} {next(self.names[kind])}"
        handle = FakeHandle(self, self.stand_ins.get(kind, kind)(*args), name)
        self.handles[handle] = FakeRef(("here", 1))
        return handle

    def check(self, ask=False):
        self.asked.append(ask)
        if self.lost is not None:
            raise RayLost(self.lost)

    def if_stuck(self, last_words):
        """Nothing is: all calls run at once."""

    def put(self, value):
        return FakeRef(sent(value))

    def kill(self, handle):
        self.handles.pop(handle, None)
        self.killed.append(handle)

    def wait(self, refs, all_of_them=False, seconds=1.0):
        self.check()
        if seconds:  # time passes: the first of those that are late arrives, or all do
            late = [ref for ref in refs if ref.late and not ref.hangs]
            if all_of_them or len(late) == len(refs):
                for ref in late if all_of_them else late[:1]:
                    ref.late = False
        return [ref for ref in refs if not (ref.late or ref.hangs)]

    def get(self, ref):
        if ref.error is not None:
            raise ref.error
        return ref.value

    def call_seconds(self, handle):
        return 0.001

    def close(self):
        self.handles = {}

    def made(self, method):
        """The arguments of all calls of a method so far."""
        return [args for _, name, args in self.calls if name == method]
