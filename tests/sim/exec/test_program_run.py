"""Programs of several tasks: they write what they write natively, and end as they do."""

import json
import shutil
from pathlib import Path

import pytest

from .native import command, compiled, natively, on_mmu

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]
BARE = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie", "-static",
        "-msse", "-mfpmath=sse", "-mstackrealign")
ENGINES = pytest.mark.parametrize("engine", ["model", "cxxrtl"])

JOBS = """
sleep 100 &
kill $!
wait $!
echo $?
coproc cat
echo a >&${COPROC[1]}
read -u ${COPROC[0]} x
echo $x
kill -9 $BASHPID
echo no
"""
PERL = """
if (!($child = fork)) { exit 3 }
waitpid $child, 0;
print $? >> 8, "\\n", `printf 'x\\ny\\n'`;
$SIG{ALRM} = sub { print "alarm\\n" };
alarm 1;
select undef, undef, undef, 3;
pipe R, W;
if (!fork) { close R; print W "child\\n"; exit }
close W;
print <R>;
wait;
"""
PYTHON = """
import os, subprocess, threading
print(subprocess.run(["echo", "a"], capture_output=True))
child = os.fork()
if not child:
    os._exit(3)
print(os.waitpid(child, 0)[1])
threads = [threading.Thread(target=print, args=(number,)) for number in range(3)]
for one in threads:
    one.start()
    one.join()
try:
    subprocess.run(["/nowhere"])
except FileNotFoundError as error:
    print(error)
"""


@ENGINES
@pytest.mark.parametrize(("name", "status"), [
    ("barrier", 136), ("signals", 143), ("threads", 6), ("busy", 6)])
def test_a_program(name, status, engine, tmp_path):
    path = compiled(tmp_path / name, HERE / f"{name}.c", "-static", "-pthread")
    found = on_mmu("--engine", engine, path)
    assert found == natively(path)
    assert found[2] == status
    assert found[0].count(b"\n") > 4


@ENGINES
@pytest.mark.parametrize("memory", [64, 4])
def test_a_32_bit_program_without_a_library(engine, memory, tmp_path):
    path = compiled(tmp_path / "signals32", HERE / "signals32.c", "-m32", *BARE)
    found = on_mmu("--engine", engine, "--memory", memory, path)
    assert found == natively(path)
    assert found[2] == 3
    assert b"seen 2222\nmine 1\n" in found[0]


@pytest.mark.parametrize("words", [
    ["bash", "-c", "seq 100 | sort -rn | head -3"],
    ["bash", "-c", "for i in 1 2 3; do (exit $i); echo $?; done"],
    ["bash", "-c", "x=$(echo hi | tr a-z A-Z); echo $x; yes | head -2; echo ${PIPESTATUS[*]}"],
    ["bash", "-c", JOBS],
    ["sh", "-c", 'trap "echo t" USR1; kill -USR1 $$'],
    ["sh", "-c", "(sleep 0.1; echo late) & wait; echo done"],
    ["perl", "-e", PERL],
    ["timeout", "0.5", "sleep", "5"],
], ids=lambda words: f"{words[0]}-{len(words[-1])}" if isinstance(words, list) else "")
def test_programs_of_this_machine(words):
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}")
    assert on_mmu(*words) == natively(*words)


def test_a_pipeline_with_less_memory_than_it_needs(tmp_path):
    words = ["bash", "-c", "seq 200000 | sort -rn | tail -n +9998 | head -3"]
    figures = tmp_path / "figures"
    assert on_mmu("--memory", 4, "--json", figures, *words) == natively(*words)
    assert json.loads(figures.read_text())["swapped_in"] > 400


def test_python_with_children_and_threads():
    program = shutil.which("python3", path="/usr/bin")
    if program is None:
        pytest.skip("no python3 of the system")
    assert on_mmu(program, "-c", PYTHON) == natively(program, "-c", PYTHON)


def test_all_tasks_wait_for_ever(tmp_path):
    source = tmp_path / "stuck.c"
    source.write_text('#include <unistd.h>\n#include <sys/wait.h>\n'
                      "int main(void) { int ends[2]; char byte; pipe(ends);\n"
                      "    if (!fork()) read(ends[0], &byte, 1);\n    wait(0); return 0; }\n")
    path = compiled(tmp_path / "stuck", source, "-static")
    _, errors, status = command("--engine", "model", path)
    assert status == 1
    assert errors.decode() == (
        f"pagewalk: error: {path}: cannot go on: all wait for what none of them will do: "
        "task 2 in wait4, task 3 in read\n")


def test_a_run_is_the_same_each_time(tmp_path):
    path = compiled(tmp_path / "threads", HERE / "threads.c", "-static", "-pthread")
    figures = [tmp_path / "one", tmp_path / "two"]
    for file in figures:
        assert on_mmu("--engine", "model", "--json", file, path)[2] == 6
    assert figures[0].read_text() == figures[1].read_text()


def test_a_child_that_is_killed_for_its_memory(tmp_path):
    source = tmp_path / "takes.c"
    source.write_text('#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n'
                      '#include <sys/wait.h>\n#include <unistd.h>\n'
                      "int main(void) { int status;\n    if (!fork())\n"
                      "        for (;;) memset(malloc(1 << 20), 1, 1 << 20);\n"
                      '    wait(&status);\n    printf("%d\\n", WTERMSIG(status));\n'
                      "    return 4; }\n")
    path = compiled(tmp_path / "takes", source, "-static", "-O0")
    found = command("--engine", "model", "--memory", 8, "--swap", 0, path)
    assert found == (b"9\n", b"", 4)


def test_a_program_whose_swap_is_full_is_killed_soon():
    text = ('if (!fork) { my @a; push @a, $_ for 1 .. 500_000; print "no\\n" } '
            'wait; print $?, "\\n"')
    if shutil.which("perl") is None:
        pytest.skip("no perl")
    found = command("--engine", "model", "--memory", 12, "--swap", 500, "--limit", 170_000_000,
                    "perl", "-e", text)
    assert found == (b"9\n", b"", 0)


def test_a_program_that_is_stopped():
    _, errors, status = command("--engine", "model", "sh", "-c", "kill -STOP $$")
    assert status == 1
    assert errors.endswith(b"all wait for what none of them will do: task 2 is stopped\n")


def test_one_who_was_killed_where_it_waited_is_not_woken(tmp_path):
    path = compiled(tmp_path / "waiter", HERE / "killed_waiter.c", "-static", "-pthread")
    assert on_mmu("--engine", "model", path) == natively(path)


def test_a_32_bit_call_of_a_64_bit_program(tmp_path):
    """The kernel is one without such calls: they end the program, or have their handler run."""
    source = tmp_path / "calls.c"
    source.write_text("#include <signal.h>\n#include <unistd.h>\n"
                      "static void handle(int number, siginfo_t *info, void *context) {\n"
                      "    long *registers = context;\n    (void)number;\n"
                      "    _exit(info->si_code == SI_KERNEL && registers[24] == 0x402 ? 8 : 9); }\n"
                      "int main(int count, char **words) { (void)words;\n"
                      "    struct sigaction one = {.sa_sigaction = handle, .sa_flags = 4};\n"
                      "    if (count > 1) sigaction(SIGSEGV, &one, 0);\n"
                      '    __asm__ volatile("int $0x80" : : "a"(20)); return 0; }\n')
    path = compiled(tmp_path / "calls", source, "-static")
    assert command("--engine", "model", path, "x") == (b"", b"", 8)
    _, errors, status = command("--engine", "model", path)
    assert status == 139
    assert errors.endswith(b": INT 80h, which 64-bit programs do not have\n")
