"""Programs of any segments: the kernel of this machine and the model run the same ones.

A 64-bit kernel gives 32-bit programs more addresses than a 32-bit one, and larger offsets in files:
such numbers are not drawn. What later kernels than 6.1 do otherwise is allowed for: a program does
not start if a segment that may be written cannot be padded with zeros (6.10).
"""

import random
from dataclasses import replace

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import IA32, X86_64

from ..model.address_space.elf_images import DYN, PAGE, Image, Phdr, R, W, X
from ..model.kernel.machines import MIB
from .exec_files import BASE, ENTRY, outcomes, program, write

pytestmark = pytest.mark.slow

LOW = (0, 1, 0xFFF, PAGE, PAGE + 1, 3 * PAGE, BASE - PAGE, BASE, BASE + ENTRY, BASE + 4 * PAGE)
EDGES = {
    X86_64: (*LOW, (1 << 47) - 2 * PAGE, (1 << 47) - PAGE, 1 << 47, 1 << 63, (1 << 64) - PAGE,
             (1 << 64) - 1),
    IA32: (*LOW, 1 << 25),
}


class Drawn:
    """Programs with a segment more, of any kind and size, or with one that is changed."""

    def __init__(self, mode, seed: int) -> None:
        self.mode, self.random = mode, random.Random(seed)

    def number(self) -> int:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.choice(EDGES[self.mode])
        return self.random.randrange(4 * PAGE) + (BASE if kind == 1 else 0)

    def segment(self) -> Phdr:
        offset, filesz = self.random.randrange(0, 3 * PAGE, 0x100), self.random.randrange(2 * PAGE)
        vaddr = BASE + self.random.randrange(12) * PAGE + offset % PAGE
        right = Phdr(flags=self.random.choice((R, R | W, R | X, R | W | X, 0)), offset=offset,
                     vaddr=vaddr, filesz=filesz, memsz=filesz + self.random.randrange(3 * PAGE))
        return self.changed(right) if self.random.randrange(2) else right

    def changed(self, right: Phdr) -> Phdr:
        name = self.random.choice(("offset", "vaddr", "filesz", "memsz", "align"))
        return replace(right, **{name: self.number()})

    def program(self) -> Image:
        image = program(self.mode)
        if self.random.randrange(3) == 0:
            place = self.random.randrange(2)
            image.phdrs[place] = self.changed(image.phdrs[place])
        for _ in range(self.random.randrange(3)):
            image.phdrs.insert(self.random.randrange(len(image.phdrs) + 1), self.segment())
        if self.random.randrange(3) == 0:  # anywhere: the first segment need not be the lowest
            image.type = DYN
            image.entry -= BASE
            image.phdrs = [replace(one, vaddr=(one.vaddr - BASE) % (1 << self.mode.vaddr_bits))
                           for one in image.phdrs]
        return image


@pytest.fixture(scope="module", params=[X86_64, IA32], ids=lambda mode: mode.name)
def kernel(request, launcher, tmp_path_factory):
    name = write(tmp_path_factory.mktemp("try") / "program", program(request.param).bytes())
    if launcher.run(name, [name]).how != "status 42":
        pytest.skip(f"The kernel of this machine does not run programs for {request.param.name}")
    return Kernel.boot(request.param, 64 * MIB)


@pytest.mark.parametrize("seed", range(3))
def test_any_segments_run_or_fail_as_natively(launcher, kernel, tmp_path, seed):
    drawn, seen = Drawn(kernel.mode, seed), {}
    for number in range(100):
        image = drawn.program()
        how, model = outcomes(launcher, kernel, write(tmp_path / str(number), image.bytes()))
        assert how == model, (number, image)
        seen[how] = seen.get(how, 0) + 1
    assert min(seen["status 42"], seen["SIGSEGV"]) > 20
