"""How programs start on the kernel of this machine and on the model: stack, tables and mappings.

The program of ``dump_start.c`` shows it. What later kernels than 6.1 do otherwise: they have
entries AT_RSEQ_FEATURE_SIZE and AT_RSEQ_ALIGN (6.3), and a mapping [vvar_vclock] (6.13). The model
tells programs nothing of the vdso. Those are left out of what is compared. A 64-bit kernel gives
32-bit programs other addresses than a 32-bit one, and leaves 8 bytes free above their strings, not
4.
"""

import errno
import os

import pytest

from pagewalk.model.address_space.auxv import At
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_stack import ExecStack
from pagewalk.model.address_space.limits import Rlimits, UserSpace
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.user_layout import USER_AMD64
from pagewalk.model.address_space.vma import VmFlag

from ..model.address_space.elf_images import GNU_STACK
from .exec_compare import Tables, model_of, rows
from .native_exec import Shown, build

pytestmark = pytest.mark.slow

ADDRESSES = (At.RANDOM, At.PLATFORM)
ENVIRONMENT = [b"HOME=/nowhere", b"EMPTY=", b"=odd", b"no sign"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("start")


def without_stack_header(path):
    """Make a program say nothing of its stack."""
    data = bytearray(path.read_bytes())
    kind = GNU_STACK.to_bytes(4, "little")
    assert data.count(kind) == 1
    data[data.index(kind) : data.index(kind) + 4] = bytes(4)
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module", params=[
    "static", "static-pie", "dynamic", "i386", "code on the stack", "old", "old i386"])
def path(request, folder):
    match request.param:
        case "dynamic":
            loader = build(folder, "static-pie", "loader")
            return build(folder, "pie", "dynamic", f"-Wl,--dynamic-linker={loader}")
        case "code on the stack":
            return build(folder, "static", "execstack", "-Wl,-z,execstack")
        case "old" | "old i386":
            kind = "i386" if "i386" in request.param else "static"
            return without_stack_header(build(folder, kind, f"old-{kind}"))
        case kind:
            return build(folder, kind, kind)


def is_32_bit(path):
    return path.name.endswith("i386")


def both(launcher, path, arguments):
    """What a program finds natively and on the model."""
    ended = launcher.run(arguments.filename, arguments.argv, arguments.envp)
    native = Tables(Shown.by_itself(ended, 4 if is_32_bit(path) else 8))
    model = model_of(native, path, arguments)
    assert model.shown.word == native.shown.word
    return native, model


def arguments_of(path, argv=(b"zero", b"", b"two")):
    return ExecArguments(os.fsencode(path), argv, ENVIRONMENT)


@pytest.mark.parametrize("argv", [(), (b"",), (b"zero", b"", b"two"), (b"x" * 5000, b"y" * 9000)],
                         ids=["none", "empty", "three", "pages"])
def test_strings_and_pointers_are_where_they_are_natively(launcher, path, argv):
    """As far from the end of the stack, and at the same addresses where that ends at the same."""
    native, model = both(launcher, path, arguments_of(path, argv))
    end = next(vma.end for vma in model.shown.mm if vma.flags & VmFlag.GROWSDOWN)
    top = native.shown.sp + len(native.shown.stack)
    assert top == end or is_32_bit(path)
    top -= 4 if is_32_bit(path) else 0
    assert model.argc == native.argc
    for name in ("argv", "envp"):
        assert [end - one for one in getattr(model, name)] == [
            top - one for one in getattr(native, name)]
    first = native.argv[0]
    assert model.shown.read(model.argv[0], top - first) == native.shown.read(first, top - first)


def test_the_auxiliary_vector_is_the_native_one(launcher, path):
    native, model = both(launcher, path, arguments_of(path))
    assert [kind for kind, _ in model.auxv] == [kind for kind, _ in native.common]
    moved = (*ADDRESSES, At.EXECFN) if is_32_bit(path) else ADDRESSES
    differ = [kind for kind, value in model.auxv if value != native.value(kind)]
    assert [kind for kind in differ if kind not in moved] == []
    size = platform_bytes(path)
    assert model.shown.read(model.value(At.PLATFORM), size) == native.shown.read(
        native.value(At.PLATFORM), size)


def platform_bytes(path):
    return len(b"i686\0" if is_32_bit(path) else b"x86_64\0")


def test_what_is_under_the_strings_follows_the_native_rule(launcher, path):
    for one in both(launcher, path, arguments_of(path)):
        assert one.value(At.PLATFORM) == (one.argv[0] & -16) - platform_bytes(path)
        assert one.value(At.RANDOM) == one.value(At.PLATFORM) - 16
        assert one.shown.sp == one.value(At.RANDOM) - (one.end - one.shown.sp) & -16


def test_mappings_are_the_native_ones(launcher, path):
    """Of 32-bit programs only their rights, which depend on what they say of their stack."""
    native, model = both(launcher, path, arguments_of(path))
    first = 1 if is_32_bit(path) else 0
    assert [row[first:] for row in rows(model.shown.maps)] == [
        row[first:] for row in rows(native.shown.maps)]


EDGES = [(0, 2 << 20), (1 << 20, 256 << 10), (256 << 10, 128 << 10), (64 << 20, 6 << 20)]


@pytest.mark.parametrize(("stack_limit", "most"), EDGES)
def test_strings_that_are_one_byte_too_long_are_so_natively(launcher, folder, stack_limit, most):
    name = os.fsencode(build(folder, "static", "static"))
    argv = [b"x" * ((64 << 10) - 1)] * (most >> 16)
    pointers = (len(argv) + 1) * 8
    last = argv.pop()[: -pointers - len(name) - 1 - len(b"A=1\0")]
    for more, how in ((b"", "status 42"), (b"x", f"errno {errno.E2BIG}")):
        given = ExecArguments(name, [*argv, last + more], [b"A=1"])
        ended = launcher.run(given.filename, given.argv, given.envp, stack_limit)
        assert ended.how == how
        mm = Mm(UserSpace.of(USER_AMD64), 0, rlimits=Rlimits(stack=stack_limit or 8 << 20))
        stack = ExecStack(mm, USER_AMD64.task_size)
        if more:
            with pytest.raises(SysError, match="E2BIG"):
                stack.put_strings(given)
        else:
            stack.put_strings(given)


def test_a_string_of_128_kbytes_is_too_long_natively(launcher, folder):
    name = os.fsencode(build(folder, "static", "static"))
    assert launcher.run(name, [b"x" * ((128 << 10) - 1)]).how == "status 42"
    assert launcher.run(name, [b"x" * (128 << 10)]).how == f"errno {errno.E2BIG}"
