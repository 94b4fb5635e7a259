"""Random programs of memory calls, loads and stores.

They keep to a few dozen pages, so that ranges meet, mappings merge, and pages are shared. The
generator does not know what will become of a call: it remembers what it asked for, and half of the
time asks for something about that.
"""

from dataclasses import dataclass

import numpy as np

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, MsyncFlag, Prot

from .program import FILES, WORD, Arg, Base, Program, Step

__all__ = ["random_program"]

PAGE = 4096
HOT = range(40)
BORDER = range(500, 524)  # around the border of two page tables
STACKS = range(1024, 2048)  # room for stacks to grow, with their guard gaps
PLACES = [HOT] * 6 + [BORDER] * 2 + [STACKS]
WRAPPING = [WORD - PAGE, WORD - 1, WORD - 2 * PAGE]
ENDLESS = [1 << 47, 1 << 63]  # of ranges in the arena alone: others might reach the runner
RW, READ = Prot.READ | Prot.WRITE, Prot.READ
PROTS = [RW] * 10 + [READ] * 3 + [Prot.NONE] * 2 + [READ | Prot.EXEC, RW | Prot.EXEC, Prot.WRITE,
                                                   RW | Prot.SEM]
PRIVATE, SHARED = MapFlag.PRIVATE, MapFlag.SHARED
KINDS = [PRIVATE | MapFlag.ANONYMOUS] * 12 + [SHARED | MapFlag.ANONYMOUS] * 3 + [PRIVATE] * 3 + [
    SHARED] * 3
FILE_KINDS = KINDS + [PRIVATE] * 9 + [SHARED] * 12  # where files are what a program is about
MODIFIERS = {MapFlag.NORESERVE: .06, MapFlag.POPULATE: .1, MapFlag.LOCKED: .05,
             MapFlag.GROWSDOWN: .05, MapFlag.NONBLOCK: .02, MapFlag.DENYWRITE: .02,
             MapFlag.EXECUTABLE: .02}
ADVICE = [Madvise.DONTNEED] * 8 + [Madvise.FREE, Madvise.COLD, Madvise.PAGEOUT, Madvise.WILLNEED,
    Madvise.POPULATE_READ, Madvise.POPULATE_WRITE] * 2 + [
    Madvise.NORMAL, Madvise.RANDOM, Madvise.SEQUENTIAL, Madvise.DONTFORK, Madvise.DOFORK,
    Madvise.WIPEONFORK, Madvise.KEEPONFORK, Madvise.DONTDUMP, Madvise.DODUMP, Madvise.MERGEABLE,
    Madvise.UNMERGEABLE, Madvise.HUGEPAGE, Madvise.NOHUGEPAGE, Madvise.DONTNEED_LOCKED,
    Madvise.REMOVE, 5, 26, 99, -1]
STEPS = {"mmap": 18, "munmap": 7, "mprotect": 11, "mremap": 8, "madvise": 9, "mlock": 4,
         "munlock": 2, "msync": 2, "brk": 3, "mincore": 2, "mlockall": .6,
         "munlockall": .4, "pread": 2, "pwrite": 2,
         "ftruncate": 1, "fallocate": 1, "load": 18, "store": 16, "fork": 4, "exit": 3,
         "show": 5}
MOST_PROCESSES = 4


@dataclass(frozen=True, slots=True)
class Area:
    """Pages that a step has asked to map, and its further arguments if that was ``mmap``."""

    place: Arg
    pages: int
    how: tuple[int | Arg, ...] = ()


def random_program(rng: np.random.Generator, *, files: bool, low: bool = True,
                   length: int = 40) -> Program:
    """Return a program of ``length`` steps.

    ``files`` is whether it may use files, ``low`` whether MAP_32BIT, for which the kernel draws a
    number where addresses are random.
    """
    return _Generator(rng, files, low).program(length)


class _Generator:
    def __init__(self, rng: np.random.Generator, files: bool, low: bool) -> None:
        self.rng, self.low = rng, low
        self.files = files and bool(self.number(2))
        about_files = self.files and bool(self.number(2))
        self.kinds, self.long = (FILE_KINDS, .5) if about_files else (KINDS, .05)
        self.forks = self.number(3) == 0
        self.steps: list[Step] = []
        self.areas: list[Area] = []
        self.living = [0]
        self.born = 1

    def program(self, length: int) -> Program:
        names, weights = zip(*STEPS.items(), strict=True)
        chances = np.array(weights) / sum(weights)
        self.add("show", process=0)
        self.mmap()
        while len(self.steps) < length - 1:
            getattr(self, str(self.rng.choice(names, p=chances)))()
        self.add("show", process=0)
        limited = self.number(8)
        return Program(tuple(self.steps), memlock=[1 << 18, 1 << 16, 0][self.number(5) // 2],
                       address_space=self.number(60) if limited == 0 else -1,
                       data=self.number(40) if limited == 1 else -1)

    # ---- numbers

    def number(self, bound: int) -> int:
        return int(self.rng.integers(bound))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def choice(self, values):
        return values[self.number(len(values))]

    def add(self, name: str, *args: Arg | int, process: int | None = None) -> None:
        process = self.choice(self.living) if process is None else process
        self.steps.append(Step(process, name, tuple(
            Arg(arg.value % WORD, arg.base) if isinstance(arg, Arg) else Arg(arg % WORD)
            for arg in args)))

    # ---- ranges

    def fresh(self) -> Area:
        """Return pages anywhere in the arena, or seldom in the heap."""
        if self.chance(.06):
            return Area(Arg(self.number(12) * PAGE, Base.HEAP), 1 + self.number(6))
        place = self.choice(PLACES)
        pages = 1 + min(self.number(12), self.number(12)) + 16 * self.chance(self.long)
        return Area(Arg((place.start + self.number(len(place))) * PAGE, Base.ARENA), pages)

    def known(self) -> Area:
        """Return all or part of what was asked for before, sometimes with a bit more."""
        if not self.areas or self.chance(.1):
            return self.fresh()
        area = self.areas[-1 - min(self.number(len(self.areas)), self.number(len(self.areas)))]
        if self.chance(.3):
            return area
        first = self.number(area.pages)
        pages = 1 + self.number(area.pages - first)
        if self.chance(.2):
            pages += self.number(6)
        if self.chance(.1) and area.place.base == Base.ARENA:  # the runner lies below the heap
            first -= self.number(4)
        return Area(Arg(area.place.value + first * PAGE, area.place.base), pages)

    def length(self, pages: int) -> int:
        """Return a length in bytes, seldom one that is odd in some way."""
        if self.chance(.04):
            return self.choice([0, pages * PAGE - 1, pages * PAGE - 100, 1])
        return self.choice(WRAPPING) if self.chance(.01) else pages * PAGE

    def spoil(self, place: Arg) -> Arg:
        """Return a place, seldom one within a page."""
        return Arg(place.value + self.number(PAGE), place.base) if self.chance(.02) else place

    def range(self) -> tuple[Arg, int]:
        """Return start and length of what was asked for before."""
        area = self.known()
        return self.spoil(area.place), self.length(area.pages)

    def any_range(self) -> tuple[Arg, int]:
        """Return a range that may also be far longer than the arena, for calls that stop at holes.
        """
        place, length = self.range()
        if place.base == Base.ARENA and self.chance(.01):
            length = self.choice(ENDLESS)
        return place, length

    # ---- steps

    def mmap(self) -> None:
        if self.chance(.3) and self.areas and self.areas[-1].how:
            self.mmap_beside(self.areas[-1])
            return
        area = self.known() if self.chance(.4) else self.fresh()
        flags = self.flags()
        place: Arg | int = self.spoil(area.place)
        match self.number(10):
            case 0 | 1 | 2:
                place, area = 0, Area(Arg(0, Base.RESULT + len(self.steps)), area.pages)
            case 3:
                flags |= MapFlag.FIXED_NOREPLACE
            case 4:
                area = Area(Arg(0, Base.RESULT + len(self.steps)), area.pages)
            case _:
                flags |= MapFlag.FIXED
                if self.chance(.01):
                    place = self.choice([0, PAGE, WORD - 22, WORD - 4000, WORD - PAGE, WORD - 9000])
        file = Arg(99) if flags & MapFlag.ANONYMOUS else self.file()
        offset = min(self.number(44), self.number(24)) * PAGE + 5 * self.chance(.01)
        how = self.prot(), flags, file, offset
        self.add("mmap", place, self.length(area.pages), *how)
        self.areas.append(Area(area.place, area.pages, how))

    def mmap_beside(self, area: Area) -> None:
        """Map what may merge with something mapped before: it comes after it or before it."""
        pages = 1 + self.number(4)
        at = area.pages if self.chance(.6) else -pages
        prot, flags, file, offset = area.how
        if self.chance(.2):
            prot = self.prot()
        if self.chance(.6):
            offset = max(0, offset + at * PAGE)
        if area.place.base != Base.ARENA and at < 0:
            return
        place = Arg(area.place.value + at * PAGE, area.place.base)
        how = prot, flags & ~MapFlag.FIXED_NOREPLACE | MapFlag.FIXED, file, offset
        self.add("mmap", place, pages * PAGE, *how)
        self.areas.append(Area(place, pages, how))

    def flags(self) -> int:
        flags = self.choice(self.kinds) | MapFlag.BELOW_2G * (self.low and self.chance(.03))
        if not self.files:
            flags |= MapFlag.ANONYMOUS
        for flag, probability in MODIFIERS.items():
            flags |= flag * self.chance(probability)
        if self.chance(.02):
            flags ^= self.choice([1, 2, 3])
        return flags

    def prot(self) -> int:
        prot = self.choice(PROTS)
        return prot | self.choice([Prot.GROWSDOWN, Prot.GROWSUP, 1 << 5]) * self.chance(.02)

    def munmap(self) -> None:
        self.add("munmap", *self.range())

    def mprotect(self) -> None:
        self.add("mprotect", *self.any_range(), self.prot())

    def mremap(self) -> None:
        area = self.known()
        old, new = area.pages, self.choice([area.pages, 1 + self.number(16), area.pages + 1])
        flags = MremapFlag.MAYMOVE * self.chance(.75)
        target: Arg | int = 0
        if flags and self.chance(.5):
            flags |= MremapFlag.FIXED
            target = self.spoil(self.fresh().place)
        if flags and self.chance(.15):
            flags |= MremapFlag.DONTUNMAP
            new = old if self.chance(.9) else new
        flags |= self.choice([2, 4, 8]) * self.chance(.03)
        old_length = 0 if self.chance(.06) else self.length(old)
        self.add("mremap", self.spoil(area.place), old_length, self.length(new), flags, target)
        self.areas.append(Area(Arg(0, Base.RESULT + len(self.steps) - 1), new))

    def madvise(self) -> None:
        self.add("madvise", *self.range(), self.choice(ADVICE))

    def mlock(self) -> None:
        if self.chance(.5):
            self.add("mlock", *self.any_range())
        else:
            self.add("mlock2", *self.any_range(), self.choice([1, 1, 1, 0, 2]))

    def munlock(self) -> None:
        self.add("munlock", *self.any_range())

    def msync(self) -> None:
        flags = self.choice([MsyncFlag.SYNC, MsyncFlag.ASYNC, 0, 2, 5, 6, 8])
        self.add("msync", *self.any_range(), flags)

    def brk(self) -> None:
        self.add("brk", Arg(self.number(24) * PAGE + self.number(PAGE) * self.number(2),
                            Base.HEAP))
        self.areas.append(Area(Arg(0, Base.HEAP), 24))

    def mincore(self) -> None:
        self.add("mincore", *self.range(), self.target())

    def mlockall(self) -> None:
        self.add("mlockall", self.choice([2, 2, 6, 1, 5, 3, 4, 0, 8]))

    def munlockall(self) -> None:
        self.add("munlockall")

    # ---- files

    def file(self) -> Arg:
        return Arg(self.choice([0, *range(FILES)]), Base.FILE)

    def offset(self) -> int:
        """Return a place in a file, or a bit behind its end, seldom what is no place."""
        if self.chance(.02):
            return self.choice([-1, 1 << 63, -PAGE])
        return self.number(44) * PAGE + self.choice([0, 0, 1, 100, 4000])

    def pread(self) -> None:
        self.transfer("pread")

    def pwrite(self) -> None:
        self.transfer("pwrite")

    def transfer(self, name: str) -> None:
        if self.files:
            length = self.choice([1, 8, 100, PAGE, 2 * PAGE, 3 * PAGE + 5, 0, -1])
            self.add(name, self.file(), self.target(), length, self.offset())

    def ftruncate(self) -> None:
        if self.files:
            self.add("ftruncate", self.file(), self.offset())

    def fallocate(self) -> None:
        if self.files:
            length = self.choice([PAGE, 4 * PAGE, 100, 3 * PAGE + 200, 0, -1])
            self.add("fallocate", self.file(), self.choice([3, 3, 3, 0, 1, 2, 4]), self.offset(),
                     length)

    def load(self) -> None:
        self.add(self.choice(["load", "loadb"]), self.target())

    def store(self) -> None:
        self.add(self.choice(["store", "storeb"]), self.target(), 1 + self.number(255))

    def target(self) -> Arg:
        """Return a place to access, seldom far off or a bit below what is mapped."""
        area = self.known()
        offset = self.number(area.pages) * PAGE + self.choice([0, 8, 4088])
        if self.chance(.05) and area.place.base == Base.ARENA:
            offset -= self.number(300) * PAGE
        if self.chance(.01):
            return Arg(self.choice([0, WORD - PAGE, (1 << 47) - PAGE, 1 << 46]))
        return Arg(area.place.value + offset, area.place.base)

    def fork(self) -> None:
        if not self.forks or self.born == MOST_PROCESSES:
            return
        self.add("fork", self.born)
        self.living.append(self.born)
        self.born += 1

    def exit(self) -> None:
        if len(self.living) > 1:
            process = self.living.pop(1 + self.number(len(self.living) - 1))
            self.add("exit", process=process)

    def show(self) -> None:
        self.add("show")
