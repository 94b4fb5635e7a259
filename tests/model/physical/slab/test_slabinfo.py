import pytest

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.geometry import AMD64
from pagewalk.model.physical.slab.slabinfo import slabinfo, slabinfo_line
from pagewalk.model.physical.slab.slub import Slub

from ..booted import full_slub
from ..linux_slabs import BOOTS, slabinfo_lines, slabinfo_text
from ..slab_pages import Pages


def without_use(text):
    """The lines of a text without the two counts of objects and the two of slabs."""
    lines = text.splitlines()
    for row, line in enumerate(lines[2:], start=2):
        name = max(17, len(line.split()[0]))
        lines[row] = line[:name] + line[name + 14 : -21] + line[-7:]
    return lines


@pytest.mark.parametrize("boot", BOOTS)
def test_the_text_of_a_real_kernel_is_printed_back_but_for_what_is_in_use(boot):
    """Names, order, sizes, objects and pages a slab, every blank: character by character."""
    printed = without_use(slabinfo(full_slub(boot).caches))
    assert printed == without_use(slabinfo_text(boot))
    assert printed[-2].endswith(" 1 : tunables    0    0    0 : slabdata      0")
    assert len(printed) > 130


@pytest.mark.parametrize("boot", BOOTS)
def test_a_line_is_the_kernel_s_to_the_character_once_as_much_is_in_use(boot):
    """Each cache gets as many slabs, and as many objects are freed as are free there.

    Left out are caches with more than 60 slabs, to save time, those of which a slab may be empty or
    smaller than usual, and the two that the model uses itself.
    """
    slub = full_slub(boot)
    caches = {cache.name: cache for cache in slub.caches.caches}
    reached = partly = 0
    for line in slabinfo_lines(boot):
        usual = line.num_objs == line.num_slabs * line.objperslab
        nowhere_empty = line.active_objs >= line.num_slabs <= 60
        if not usual or not nowhere_empty or line.name.startswith("kmem_cache"):
            continue
        cache = caches[line.name]
        pointers = [cache.alloc() for _ in range(line.num_objs)]
        one_of_each = set(pointers[:: line.objperslab])
        rest = [pointer for pointer in pointers if pointer not in one_of_each]
        for pointer in rest[: line.num_objs - line.active_objs]:
            cache.free(pointer)
        cache.flush_all()
        assert slabinfo_line(cache) == line.line
        reached += 1
        partly += line.active_objs < line.num_objs
    assert reached > 110
    assert partly >= 4


def test_free_objects_that_a_cpu_holds_count_as_active():
    slub = Slub(PhysicalMemory(), Pages(), AMD64)
    cache = slub.kmem_cache_create("one", 512)
    pointers = [cache.alloc() for _ in range(3)]
    start = "one               {:6}      8    512    8    1 : tunables    0    0    0 : slab"
    assert slabinfo_line(cache).startswith(start.format(8))
    cache.flush_all()
    assert slabinfo_line(cache).startswith(start.format(3))
    assert slabinfo_line(cache).endswith("slabdata      1      1      0")
    for pointer in pointers:
        cache.free(pointer)
    cache.shrink()
    assert slabinfo_line(cache).endswith("slabdata      0      0      0")


def test_the_youngest_cache_comes_first():
    slub = Slub(PhysicalMemory(), Pages(), AMD64)
    for name in ("a", "b"):
        slub.kmem_cache_create(name, 100, usersize=1)
    lines = slub.slabinfo().splitlines()
    assert lines[:2] == slabinfo_text("amd64-A").splitlines()[:2]
    assert [line.split()[0] for line in lines[2:4]] == ["b", "a"]
    assert lines[-1].startswith("kmem_cache  ")
