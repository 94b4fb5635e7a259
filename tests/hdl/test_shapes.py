import pytest
from amaranth import Shape
from amaranth.lib import data

from pagewalk.hdl import port_shapes, shapes
from pagewalk.hdl.config import Config
from pagewalk.hdl.event_shapes import events_layout
from pagewalk.model import x86
from pagewalk.model.x86 import IA32, MODES, X86_64

CONFIGS = [Config(mode=mode, paddr_bits=bits, tag_bits=7)
           for mode in MODES.values() for bits in (32, 40, 52)]


@pytest.fixture(params=CONFIGS, ids=lambda config: f"{config.mode.name}-{config.paddr_bits}")
def config(request):
    return request.param


def widths(layout):
    """Return the width of each field by name, in the order of the fields."""
    return {name: Shape.cast(field.shape).width for name, field in layout}


def payload(stream):
    return widths(stream.members["payload"].shape)


@pytest.mark.parametrize(("ours", "architectural"), [
    (shapes.AccessKind, x86.AccessKind), (shapes.Purpose, x86.Purpose),
    (shapes.InvalidateOp, x86.InvalidateOp)])
def test_enumerations_have_the_codes_of_the_architecture(ours, architectural):
    assert {member.name: member.value for member in ours} == {
        member.name: member.value for member in architectural}


@pytest.mark.parametrize(("mode", "names"), [
    (X86_64, ["512g", "1g", "2m", "4k"]), (IA32, ["4m", "4k"])])
def test_a_page_is_named_after_its_size(mode, names):
    assert [shapes.page_name(level) for level in mode.levels] == names


def test_control_has_the_root_and_each_control_bit(config):
    bits = dict.fromkeys(("pg", "wp", "pse", "pge", "pcide", "smep", "smap", "pke", "nxe"), 1)
    assert widths(shapes.control_layout(config)) == {
        "root": config.root_bits, "pcid": 12, **bits, "pkru": 32}


@pytest.mark.parametrize(("mode", "ignored"), [
    (X86_64, ("pse",)), (X86_64.without_1g_pages(), ("pse",)),
    (IA32, ("pcid", "pcide", "pke", "nxe", "pkru")),
], ids=["x86_64", "without_1g", "ia32"])
def test_a_mode_ignores_the_registers_of_what_it_does_not_have(mode, ignored):
    assert shapes.ignored_registers(mode) == ignored
    assert set(ignored) < set(widths(shapes.control_layout(Config(mode=mode))))


def test_a_request_is_an_access_with_a_tag(config):
    flags = dict.fromkeys(("user", "implicit", "ac", "stack"), 1)
    assert widths(shapes.request_layout(config)) == {
        "vaddr": config.mode.vaddr_bits, "kind": 2, **flags, "tag": 7}


def test_a_response_is_a_physical_address_or_a_fault(config):
    assert payload(port_shapes.port_signature(config).members["rsp"].signature) == {
        "tag": 7, "paddr": config.physical_bits, "page": 1 if config.mode is IA32 else 2,
        "memory_type": 3, "fault": 1, "vector": 5, "error_code": 6,
        "vaddr": config.mode.vaddr_bits}


def test_an_invalidation_holds_whole_registers(config):
    assert widths(shapes.invalidate_layout(config)) == {
        "op": 3, "vaddr": config.mode.vaddr_bits, "pcid": 12, "old": 32, "new": 64}


def test_memory_moves_whole_entries(config):
    members = shapes.memory_signature(config).members
    entry_bits = 8 * config.mode.entry_bytes
    assert payload(members["req"].signature) == {
        "tag": shapes.MEMORY_TAG_BITS, "op": 1, "address": config.physical_bits,
        "expected": entry_bits, "desired": entry_bits}
    assert payload(members["rsp"].signature) == {
        "tag": shapes.MEMORY_TAG_BITS, "data": entry_bits, "exchanged": 1, "error": 1}


def test_a_translation_holds_a_frame_of_any_physical_address(config):
    layout = shapes.translation_layout(config)
    assert widths(layout) == {
        "frame": config.pfn_bits, "page": 1 if config.mode is IA32 else 2, "rights": 7,
        "memory_type": 3, "dirty": 1, "global_page": 1}
    assert widths(layout["rights"].shape) == {
        "writable": 1, "user": 1, "execute_disable": 1, "key": 4}


def test_a_walk_carries_access_and_control_down_and_the_translation_up(config):
    members = shapes.walk_signature(config).members
    down = members["req"].signature.members["payload"].shape
    up = members["rsp"].signature.members["payload"].shape
    assert down["access"].shape == shapes.request_layout(config)
    assert down["control"].shape == shapes.control_layout(config)
    assert up["translation"].shape == shapes.translation_layout(config)
    assert widths(up)["vector"] == 5
    assert widths(up)["error_code"] == 6


@pytest.mark.parametrize(("count", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_a_walk_names_any_port_and_back(count, width):
    ports = tuple(f"p{number}" for number in range(count))
    members = shapes.walk_signature(Config(ports=ports)).members
    assert payload(members["req"].signature)["port"] == width
    assert payload(members["rsp"].signature)["port"] == width


@pytest.mark.parametrize(("count", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 3)])
def test_a_walk_names_any_of_the_misses_of_its_port_and_back(count, width):
    members = shapes.walk_signature(Config(misses=count)).members
    assert payload(members["req"].signature)["miss"] == width
    assert payload(members["rsp"].signature)["miss"] == width


def test_a_drop_names_page_and_pcid(config):
    assert widths(shapes.drop_layout(config)) == {
        "valid": 1, "by_address": 1, "by_pcid": 1, "globals": 1, "tables_by_address": 1,
        "vpn": config.vpn_bits, "pcid": 12}


def test_a_page_fault_names_page_and_pcid(config):
    assert widths(shapes.page_fault_layout(config)) == {
        "valid": 1, "vpn": config.vpn_bits, "pcid": 12}


def test_a_layout_has_no_gaps_and_no_overlaps(config):
    for layout in (shapes.control_layout(config), shapes.request_layout(config),
                   shapes.invalidate_layout(config), shapes.translation_layout(config),
                   shapes.drop_layout(config), shapes.page_fault_layout(config),
                   events_layout(config)):
        assert isinstance(layout, data.StructLayout)
        assert sum(widths(layout).values()) == layout.size
