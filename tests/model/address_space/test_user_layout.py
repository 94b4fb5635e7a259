import numpy as np
import pytest

from pagewalk.model.address_space.user_layout import USER_AMD64, USER_I686

from .linux_kernels import BOOTS, maps

BUILDS = {"i686": USER_I686, "amd64": USER_AMD64}
RLIM_INFINITY = {"i686": (1 << 32) - 1, "amd64": (1 << 64) - 1}
MIB = 1 << 20


def build(boot):
    return BUILDS[boot.split("-")[0]]


# The recorded programs ran with norandmaps and the usual stack of 8 Mbytes.
@pytest.mark.parametrize("boot", BOOTS)
def test_the_stack_ends_where_a_real_process_has_it(boot):
    assert maps(boot, "s1", "[stack]")[0][1] == build(boot).layout().stack_top


@pytest.mark.parametrize("boot", BOOTS)
@pytest.mark.parametrize(("program", "first"), [("s1", "[vdso]"), ("d1", "ld")])
def test_the_first_mapping_ends_at_mmap_base(boot, program, first):
    # A static program is given its vdso first, a dynamic one its interpreter.
    if first == "ld":
        first = "/lib64/ld-linux-x86-64.so.2" if boot.startswith("amd64") else "/lib/ld-linux.so.2"
    assert maps(boot, program, first)[-1][1] == build(boot).layout().mmap_base


@pytest.mark.parametrize("boot", BOOTS)
@pytest.mark.parametrize("program", ["s1", "d1"])
def test_vvar_lies_under_vdso(boot, program):
    [vvar], [vdso] = maps(boot, program, "[vvar]"), maps(boot, program, "[vdso]")
    sizes = [(end - start) >> 12 for start, end in (vvar, vdso)]
    assert sizes == [build(boot).vvar_pages, build(boot).vdso_pages]
    assert vvar[1] == vdso[0]


@pytest.mark.parametrize("boot", BOOTS)
def test_without_aslr_there_is_no_room_for_the_vdso_above_the_stack(boot):
    layout = build(boot).layout()
    stack_start, _ = maps(boot, "s1", "[stack]")[0]
    hint = layout.vdso_hint(stack_start + 0x1_F000)
    assert hint == 0 or hint + layout.vdso_bytes > layout.task_size


@pytest.mark.parametrize("boot", BOOTS)
def test_a_position_independent_program_starts_where_a_real_one_does(boot):
    assert maps(boot, "d1", "/zoo_dyn")[0][0] == build(boot).layout().load_bias


@pytest.mark.parametrize("boot", BOOTS)
def test_the_heap_starts_right_after_the_program(boot):
    end_of_data = maps(boot, "d1", "/zoo_dyn")[-1][1]
    layout = build(boot).layout()
    assert layout.start_brk(end_of_data - 5) == maps(boot, "d1", "[heap]")[0][0]
    assert layout.start_brk(end_of_data + 1) == end_of_data + 0x1000


def test_addresses_of_the_two_kernels():
    assert USER_I686.layout().mmap_base == 0xB800_0000
    assert USER_AMD64.layout().mmap_base == 0x7FFF_F7FF_F000
    assert USER_AMD64.layout().stack_top == 0x7FFF_FFFF_F000
    assert USER_AMD64.layout().load_bias == 0x5555_5555_4000
    assert USER_I686.layout(legacy=True).mmap_base == 0x4000_0000
    assert USER_AMD64.layout(legacy=True).mmap_base == 0x2AAA_AAAA_B000
    assert not USER_AMD64.layout(legacy=True).topdown


# mmap_base: the gap is the stack limit and its guard gap (1 Mbyte), from 128 Mbytes up to five
# sixths of the address space.
@pytest.mark.parametrize(("limit", "gap"), [
    (8 * MIB, 128 * MIB),
    (127 * MIB, 128 * MIB),
    (128 * MIB, 129 * MIB),
    (1024 * MIB, 1025 * MIB),
    (RLIM_INFINITY["i686"], 0xA000_0000),
])
def test_a_larger_stack_limit_pushes_the_mmap_area_down(limit, gap):
    assert USER_I686.layout(stack_rlimit=limit).mmap_base == 0xC000_0000 - gap


def test_an_unlimited_stack_leaves_a_sixth_of_the_address_space_on_amd64():
    size = USER_AMD64.task_size
    base = USER_AMD64.layout(stack_rlimit=RLIM_INFINITY["amd64"]).mmap_base
    assert base == (size - size // 6 * 5 + 4095) & -4096


# CONFIG_ARCH_MMAP_RND_BITS is 8 and 28, STACK_RND_MASK 0x7ff and 0x3fffff pages; the heap starts
# within 32 Mbytes and a Gbyte, after a page. A random stack also widens the least gap under it.
SPANS = {
    "i686": {"mmap_base": 1 * MIB, "load_bias": 1 * MIB, "stack_top": 8 * MIB, "brk_gap": 32 * MIB},
    "amd64": {"mmap_base": 1 << 40, "load_bias": 1 << 40, "stack_top": 16 << 30,
              "brk_gap": 1 << 30},
}
TOP = {"i686": 0xC000_0000 - 128 * MIB, "amd64": 0x7FFF_FFFF_F000 - (16 << 30) - 9 * MIB + 4096}


@pytest.mark.parametrize("kernel", BUILDS)
def test_aslr_spreads_each_part_over_its_span_and_no_further(kernel):
    build, rng = BUILDS[kernel], np.random.default_rng(20)
    plain = build.layout()
    layouts = [build.layout(rng) for _ in range(4000)]
    spans = SPANS[kernel]
    lowest = {"mmap_base": TOP[kernel] - spans["mmap_base"] + 4096, "load_bias": plain.load_bias,
              "stack_top": plain.stack_top - spans["stack_top"] + 4096, "brk_gap": 4096}
    for name, span in spans.items():
        values = [getattr(layout, name) for layout in layouts]
        assert all(value % 4096 == 0 for value in values), name
        assert lowest[name] <= min(values) <= max(values) < lowest[name] + span, name
        assert max(values) - min(values) > 0.95 * span, name
    stack_pointers = {layout.align_stack(0x1_0000) for layout in layouts}
    assert min(stack_pointers) >= 0x1_0000 - 8192
    assert all(sp % 16 == 0 for sp in stack_pointers)
    assert len(stack_pointers) > 400


def test_aslr_repeats_with_its_seed():
    first, second = (USER_AMD64.layout(np.random.default_rng(5)) for _ in range(2))
    assert first == second != USER_AMD64.layout(np.random.default_rng(6))


def test_the_vdso_goes_above_a_random_stack_and_in_the_same_page_table():
    rng = np.random.default_rng(7)
    layout = USER_AMD64.layout()
    start_stack = 0x7FFC_1234_5670
    hints = {layout.vdso_hint(start_stack, rng) for _ in range(2000)}
    start, end = 0x7FFC_1234_6000, 0x7FFC_1240_0000
    assert min(hints) == start
    assert max(hints) == end - layout.vdso_bytes
    assert len(hints) == (end - layout.vdso_bytes - start >> 12) + 1
    assert layout.vdso_hint(start_stack) == start


def test_the_vdso_stays_under_the_end_of_the_address_space():
    rng = np.random.default_rng(8)
    layout = USER_AMD64.layout()
    hints = {layout.vdso_hint(0x7FFF_FFF8_0000, rng) for _ in range(2000)}
    assert max(hints) + layout.vdso_bytes == layout.task_size
