"""Long random runs of kmalloc and kfree."""

import numpy as np

from pagewalk.model.physical.gfp import Gfp


def random_run(slub, seed, steps, cpus, most=3000):
    """Allocate and free at random, more often the one or the other in turn; free all at the end."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.geometric(0.004, steps), 12000).tolist()
    rising = (np.arange(steps) // 5000 % 2 == 0) * 0.3 + 0.35
    taking = (rng.random(steps) < rising).tolist()
    which, cpu = rng.random(steps).tolist(), rng.integers(0, cpus, steps).tolist()
    live = []
    write, read = slub.backing.write, slub.backing.read
    for step in range(steps):
        if (taking[step] and len(live) < most) or not live:
            pointer = slub.kmalloc(sizes[step], Gfp.KERNEL, cpu[step])
            write(pointer, step.to_bytes(8, "little"))
            live.append((pointer, step))
        else:
            index = int(which[step] * len(live))
            live[index], (pointer, number) = live[-1], live[index]
            live.pop()
            assert read(pointer, 8) == number.to_bytes(8, "little")
            slub.kfree(pointer, cpu[step])
        if step % 20000 == 0:
            slub.check()
    slub.check()
    for pointer, number in live:
        assert read(pointer, 8) == number.to_bytes(8, "little")
        slub.kfree(pointer)
    slub.check()
