"""Tests of ``pagewalk exec``: programs write and end as natively; what cannot run is said."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pagewalk.sim.cli.main import main

SOURCES = Path(__file__).parents[1] / "exec"
COMMAND = "from pagewalk.sim.cli.main import main; raise SystemExit(main())"
BARE = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie", "-static",
        "-fno-tree-loop-distribute-patterns")
NOTES = tuple(b"pagewalk: " + begin for begin in (b"the hardware ", b"step ", b"wait", b"Yosys "))
ENGINES = pytest.mark.parametrize("engine", ["model", "cxxrtl"])
needs_gcc = pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++")
slow = pytest.mark.slow


def compiled(target, source, *options):
    made = subprocess.run(["gcc", "-O2", "-w", "-o", target, source, *options],
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcc does not work here: {made.stderr.splitlines()[0]}")
    return target


def on_mmu(*words):
    """Run the command on its own, as a program writes to descriptors; return output and status.

    What is said while hardware is compiled is left out.
    """
    output, error, status = natively(sys.executable, "-c", COMMAND, "exec", *words)
    lines = error.splitlines(True)
    return output, b"".join(line for line in lines if not line.startswith(NOTES)), status


def natively(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, stdin=subprocess.DEVNULL)
    return done.stdout, done.stderr, done.returncode


def shell_status(status):
    return 128 - status if status < 0 else status


@slow
@needs_gcc
@ENGINES
@pytest.mark.parametrize("linked", ["-static", "-static-pie", "-pie"])
def test_hello(engine, linked, tmp_path):
    source = tmp_path / "hello.c"
    source.write_text('#include <stdio.h>\nint main(int count, char **words)\n{\n'
                      '    printf("hello %d %s\\n", count, words[1]);\n'
                      '    fprintf(stderr, "oh\\n");\n    return 7;\n}\n')
    path = compiled(tmp_path / "hello", source, linked)
    assert on_mmu("--engine", engine, path, "a", "--json") == natively(path, "a", "--json")


@slow
@needs_gcc
@ENGINES
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("memory", [64, 4])
def test_a_program_without_a_library(engine, bits, memory, tmp_path):
    path = compiled(tmp_path / "bare", SOURCES / "compute.c", *BARE, f"-m{bits}",
                    f"-DCOUNT={2_000_000 if memory == 4 else 50_000}")
    figures = tmp_path / "figures"
    found = on_mmu("--engine", engine, "--memory", memory, "--json", figures, path)
    assert found == natively(path)
    written = json.loads(figures.read_text())
    assert written["status"] == found[2]
    assert (written["swapped_in"] > 1000) is (memory == 4)
    assert written["calls"]["write"] > 0


@slow
@needs_gcc
@ENGINES
def test_data_larger_than_memory(engine, tmp_path):
    path = compiled(tmp_path / "large", SOURCES / "large.c", "-static")
    figures = tmp_path / "figures"
    found = on_mmu("--engine", engine, "--memory", 8, "--json", figures, path)
    assert found == natively(path)
    assert found[2] == 5
    assert json.loads(figures.read_text())["swapped_in"] > 4000


@slow
@needs_gcc
@pytest.mark.parametrize("bits", [32, 64])
def test_transparent_huge_pages(bits, tmp_path):
    path = compiled(tmp_path / "bare", SOURCES / "compute.c", *BARE, f"-m{bits}",
                    "-DCOUNT=3000000")
    native, figures, faults = natively(path), tmp_path / "figures", {}
    for thp, memory in (("never", 64), ("madvise", 64), ("always", 64), ("always", 8)):
        assert on_mmu("--memory", memory, "--thp", thp, "--json", figures, path) == native
        written = json.loads(figures.read_text())
        faults[thp, memory] = written["minor_faults"]
        huge = sum(count for name, count in written["events"].items()
                   if name.startswith("data_hit_") and name != "data_hit_4k")
        assert memory == 8 or (huge > 0) is (thp == "always")  # 8 may be too torn for any
    assert written["swapped_in"] > 1000
    assert faults["never", 64] == faults["madvise", 64] > faults["always", 64] + 900


@slow
@needs_gcc
@ENGINES
def test_each_access_translated(engine, tmp_path):
    path = compiled(tmp_path / "bare", SOURCES / "compute.c", *BARE, "-DCOUNT=20")
    figures = tmp_path / "figures"
    found = on_mmu("--engine", engine, "--check", "each", "--json", figures, path)
    assert found == natively(path)
    written = json.loads(figures.read_text())
    assert written["translations"] > written["instructions"]


@slow
@needs_gcc
def test_neither_memory_nor_swap(tmp_path):
    source = tmp_path / "takes.c"
    source.write_text("#include <stdlib.h>\n#include <string.h>\nint main(void) {\n"
                      "    for (int one = 1; ; one++) memset(malloc(1 << 20), one, 1 << 20); }\n")
    path = compiled(tmp_path / "takes", source, "-static", "-O0")
    output, error, status = on_mmu("--engine", "model", "--memory", 8, "--swap", 0, path)
    assert (output, status) == (b"", 137)
    assert error.decode() == (f"pagewalk: {path}: killed by SIGKILL, as there was no memory "
                              "left\n")


@slow
@needs_gcc
@ENGINES
def test_calls_return_what_linux_returns(engine, tmp_path):
    path = compiled(tmp_path / "syscalls", SOURCES / "syscalls.c", "-static")
    file = tmp_path / "file"
    file.write_text("0123456789abcdef\n")
    output, error, status = on_mmu("--engine", engine, path, file)
    expected, _, killed = natively(path, file)
    lines = expected.decode().splitlines()
    assert len(lines) > 50
    assert output.decode().splitlines() == lines
    assert status == shell_status(killed) == 128 + 12
    assert error.decode() == f"pagewalk: {path}: killed by SIGUSR2\n"


@slow
@needs_gcc
@ENGINES
def test_calls_of_32_bit_programs(engine, tmp_path):
    path = compiled(tmp_path / "calls32", SOURCES / "calls32.c", *BARE, "-m32")
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 24)
    found = on_mmu("--engine", engine, path, file)
    assert found == natively(path, file)
    assert found[0].count(b"\n") > 40
    assert found[2] == 6


@slow
@needs_gcc
@ENGINES
def test_another_program_in_its_place(engine, tmp_path):
    source = tmp_path / "next.c"
    source.write_text(
        '#include <errno.h>\n#include <fcntl.h>\n#include <signal.h>\n#include <stdio.h>\n'
        '#include <stdlib.h>\n#include <unistd.h>\n'
        'static void handle(int n) { (void)n; }\n'
        'int main(int count, char **words) {\n'
        '    struct sigaction one, two;\n'
        '    if (count > 2) {\n'
        '        sigaction(SIGUSR1, 0, &one);\n        sigaction(SIGUSR2, 0, &two);\n'
        '        printf("%s %s %d %d %d\\n", words[2], getenv("A"), one.sa_handler == SIG_DFL,\n'
        '               two.sa_handler == SIG_IGN, fcntl(9, F_GETFD));\n'
        '        return 4;\n    }\n'
        '    char *next[] = {"name", words[1], "text", 0}, *env[] = {"A=b", 0};\n'
        '    signal(SIGUSR1, handle);\n    signal(SIGUSR2, SIG_IGN);\n'
        '    fcntl(dup2(0, 9), F_SETFD, FD_CLOEXEC);\n'
        '    execve("/nowhere", next, env);\n    printf("%d\\n", errno);\n'
        '    execve(words[1], next, env);\n    printf("%d\\n", errno);\n'
        '    fflush(stdout);\n    execve(words[0], next, env);\n    return 1;\n}\n')
    path = compiled(tmp_path / "next", source, "-pie")
    text = tmp_path / "text"
    text.write_text("no program")
    found = on_mmu("--engine", engine, path, text)
    assert found == natively(path, text)
    assert (found[0].count(b"\n"), found[2]) == (3, 4)


@slow
@needs_gcc
@pytest.mark.parametrize(("words", "memory"), [
    (["cat", "FILE", "/nowhere"], 64), (["sha256sum", "FILE"], 64), (["sort", "-r", "FILE"], 64),
    (["ls", "-lan", "--time-style=full-iso", "FOLDER"], 64),
    (["od", "-c", "FILE"], 64),
    (["env", "-i", "A=b", "env"], 64), (["awk", "{ print $1 * 2 }", "FILE"], 64),
    (["bash", "-c", "for x in 1 2 3; do echo $((x * x)); done; exit 5"], 64),
    (["perl", "-e", "print join(',', map { $_ * 2 } 1 .. 10), chr(10)"], 64),
    (["sort", "-n", "FILE"], 4),
], ids=lambda value: value[0] if isinstance(value, list) else str(value))
def test_programs_of_this_machine(words, memory, tmp_path):
    program = shutil.which(words[0])
    if program is None:
        pytest.skip(f"no {words[0]}")
    file = tmp_path / "file"
    file.write_text("".join(f"{one * 7919 % 10007} text\n" for one in range(3000)))
    names = {"FILE": file, "FOLDER": tmp_path}
    words = [program, *(names.get(word, word) for word in words[1:])]
    assert on_mmu("--memory", memory, *words) == natively(*words)


@slow
@needs_gcc
def test_proc_is_the_model_s():
    output, _, status = on_mmu("--engine", "model", "--memory", 32, "cat", "/proc/self/maps",
                               "/proc/meminfo")
    assert status == 0
    assert b"[stack]" in output
    total = int(output.partition(b"MemTotal:")[2].split()[0])
    assert 30_000 < total < 32 * 1024


@slow
@needs_gcc
@pytest.mark.parametrize(("text", "name", "status"), [
    ("*(volatile int *)0x1234 = 1;", "SIGSEGV at address 0x1234, ", 139),
    ("volatile int zero = 0; zero = 100 / zero;", "SIGFPE at instruction ", 136),
    ("__builtin_trap();", "SIGILL at instruction ", 132),
    ("abort();", "SIGABRT", 134),
])
def test_a_program_that_a_signal_ends(text, name, status, tmp_path):
    source = tmp_path / "ends.c"
    source.write_text(f"#include <stdlib.h>\nint main(void) {{ {text} return 0; }}\n")
    path = compiled(tmp_path / "ends", source, "-static")
    _, error, found = on_mmu("--engine", "model", path)
    assert found == status == shell_status(natively(path)[2])
    assert error.decode().startswith(f"pagewalk: {path}: killed by {name}")
    assert error.count(b"\n") == 1


@slow
@needs_gcc
def test_what_keeps_a_program_from_going_on(tmp_path):
    source = tmp_path / "loop.c"
    source.write_text("#include <unistd.h>\n"
                      "int main(int count, char **words) { (void)words;\n"
                      "    if (count > 1) pause();\n    for (;;) ; }\n")
    path = compiled(tmp_path / "loop", source, "-static")
    _, error, status = on_mmu("--engine", "model", "--limit", 100_000, path)
    assert (status, error.decode()) == (
        1, f"pagewalk: error: {path}: cannot go on: its 100000 instructions are used up\n")
    _, error, status = on_mmu("--engine", "model", path, "x")
    assert status == 1
    assert error.decode() == (
        f"pagewalk: error: {path}: cannot go on: all wait for what none of them will do: "
        "task 2 in pause\n")


@slow
@needs_gcc
def test_a_program_sees_its_root_alone_and_changes_nothing(tmp_path):
    source = tmp_path / "writes.c"
    source.write_text('#include <fcntl.h>\n#include <stdio.h>\n'
                      '#include <sys/stat.h>\n#include <unistd.h>\n'
                      'int main(void) {\n    struct stat found;\n'
                      '    struct timespec times[2] = {{5, 0}, {6, 0}};\n'
                      '    FILE *file = fopen("/kept", "w");\n    fputs("new", file);\n'
                      '    fclose(file);\n    file = fopen("/kept", "r");\n'
                      '    utimensat(AT_FDCWD, "/kept", times, 0);\n    stat("/kept", &found);\n'
                      '    printf("%c%ld", fgetc(file), (long)found.st_mtime);\n'
                      '    return access("/../../etc/passwd", F_OK) ? 4 : 9; }\n')
    root = tmp_path / "root"
    root.mkdir()
    compiled(root / "writes", source, "-static")
    (root / "kept").write_text("old")
    found = on_mmu("--engine", "model", "--root", root, "/writes")
    assert found == (b"n6", b"", 4)
    assert (root / "kept").read_text() == "old"
    assert sorted(path.name for path in root.iterdir()) == ["kept", "writes"]


def elf(machine):
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\2\0" + machine.to_bytes(2, "little")


@pytest.mark.parametrize(("content", "message"), [
    (b"text\n", "the start is 74 65 78 74, expected 7f 45 4c 46 of an ELF file"),
    (elf(183), "e_machine is 183 (AArch64), expected 62 (x86-64) or 3 (i386)"),
    (elf(62), "e_phentsize is 0, expected 56"),
    (b"#!/nowhere/sh\n", "/nowhere/sh: cannot be run: ENOENT: No such file or directory"),
    (b"", "the start is"),
])
def test_files_that_are_no_programs(content, message, tmp_path, capsys, monkeypatch):
    pytest.importorskip("unicorn")
    monkeypatch.setattr("pagewalk.sim.cli.exec.Kernel.boot", None)  # it does not come so far
    path = tmp_path / "file"
    path.write_bytes(content)
    path.chmod(0o755)
    assert main(["exec", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("pagewalk: error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("words", "message"), [
    (["/nowhere/program"], "/nowhere/program: cannot be run: ENOENT"),
    (["no-program-of-this-name"], "no-program-of-this-name: is in no folder of PATH"),
    (["FILE"], "FILE: cannot be run: EACCES: Permission denied"),
    (["--root", "/nowhere", "true"], "argument --root: /nowhere: No such file or directory"),
    (["--env", "name", "true"], "argument --env: expected NAME=VALUE, not 'name'"),
    (["--json", "-", "true"], "argument --json: - is the standard output of the program"),
    (["--record", "-", "true"], "argument --record: - is the standard output of the program"),
    (["--record", "FILE", "FILE"], "argument --record: FILE is an input; expected another file"),
    (["--record", "/x", "--json", "/x", "FILE"], "argument --json: /x is the file of --record"),
    (["--record", "FOLDER", "true"], "FOLDER: cannot be written: Is a directory"),
    (["--thp", "sometimes", "true"], "argument --thp: "),
    (["--json", "FILE", "FILE"], "argument --json: FILE is an input; expected another file"),
    (["--memory", "0", "true"], "argument --memory: expected a whole number from 1"),
    (["--swap", "/nowhere", "PROGRAM"], "argument --swap: /nowhere: No such file"),
    (["--swap", str(1 << 40), "PROGRAM"], "argument --swap: a swap file of 1099511627777 pages "),
    (["--record", "OTHER", "true"], "argument --record: OTHER is a program; expected another file"),
    ([], "the following arguments are required: "),
])
def test_bad_words(words, message, tmp_path, capsys, monkeypatch):
    pytest.importorskip("unicorn")
    monkeypatch.setattr("pagewalk.sim.cli.exec.Kernel.boot", None)
    path = tmp_path / "file"
    path.write_text("text")
    other = tmp_path / "other"  # which PATH, a script or --root may lead to
    other.write_text("program")
    other.chmod(0o755)
    names = {"FILE": path, "PROGRAM": sys.executable, "FOLDER": tmp_path, "OTHER": other}
    assert main(["exec", *(str(names.get(word, word)) for word in words)]) == 2
    error = capsys.readouterr().err
    for name, text in names.items():
        message = message.replace(name, str(text))
    assert message in error
    assert error.count("\n") == 1
    assert other.read_text() == "program"


def test_without_unicorn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "unicorn", None)
    assert main(["exec", "true"]) == 3
    assert "unicorn is missing" in capsys.readouterr().err
