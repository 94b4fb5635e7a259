"""Files of the command line: names, and that nothing is written over what must stay."""

import json
import os
import resource
import signal

import pytest

from pagewalk.model.x86 import IA32
from pagewalk.sim.cli.dispatch import command_parser
from pagewalk.sim.cli.files import (
    INPUTS,
    OUTPUTS,
    check_outputs,
    json_file,
    output_file,
    output_name,
)
from pagewalk.sim.cli.output import STDOUT
from pagewalk.sim.cli.parser import verbs_of
from pagewalk.sim.errors import InputError
from pagewalk.sim.image import Image


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "ia32.npz"
    Image.shipped(IA32).cut(limit=40).save(path)
    return path


# Names


@pytest.mark.parametrize("name", ["", "a\0b"])
@pytest.mark.parametrize(("words", "argument"), [
    (["image", "NAME"], "IMAGE.npz"), (["image", "x", "-o", "NAME"], "-o"),
    (["image", "x", "--json", "NAME"], "--json"), (["replay", "NAME"], "IMAGE.npz"),
    (["conform", "NAME"], "VECTORS.npz"), (["boot", "NAME"], "LOG.ltr.xz"),
    (["buddy", "NAME", "x"], "TRACE.txt.gz"), (["buddy", "x", "NAME"], "FREELISTS.npz"),
    (["cosim", "zipf", "--swap", "NAME"], "--swap"),
    (["verilog", "-o", "NAME"], "-o"), (["run", "--json", "NAME"], "--json"),
    (["cosim", "zipf", "--json", "NAME"], "--json"),
])
def test_what_names_no_file_is_refused(words, argument, name, refused):
    assert refused(*(name if word == "NAME" else word for word in words)) == (
        f"argument {argument}: expected a file name, not {name!r}")


def test_a_file_that_is_called_as_standard_output_can_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert output_name("-") == STDOUT
    assert output_name("./-") == tmp_path / "-"


def test_an_archive_does_not_go_to_standard_output(refused, image):
    assert refused("image", image, "-o", "-") == (
        "argument -o: standard output takes no archive; expected a file name")


# What stays


@pytest.mark.parametrize("how", ["same", "link", "other name"])
def test_figures_do_not_go_over_an_input(how, refused, image, tmp_path):
    content = image.read_bytes()
    path = {"same": image, "link": tmp_path / "link",
            "other name": tmp_path / ".." / tmp_path.name / image.name}[how]
    (tmp_path / "link").symlink_to(image)
    for verb in "image", "replay":
        assert refused(verb, image, "--json", path) == (
            f"argument --json: {path} is an input; expected another file")
    assert image.read_bytes() == content


@pytest.mark.parametrize("words", [["conform", "SAME"], ["boot", "SAME"], ["buddy", "SAME", "x"],
                                   ["buddy", "x", "SAME"], ["cosim", "zipf", "--swap", "SAME"]])
def test_figures_do_not_go_over_an_input_of_any_verb(words, refused, tmp_path):
    path = tmp_path / "same"
    path.write_text("kept")
    words = [path if word == "SAME" else word for word in words]
    assert refused(*words, "--json", path) == (
        f"argument --json: {path} is an input; expected another file")
    assert path.read_text() == "kept"


def test_figures_and_what_o_writes_are_two_files(refused, image, tmp_path):
    for path in tmp_path / "x", tmp_path / "y":
        assert refused("image", image, "-o", path, "--json", path) == (
            f"argument --json: {path} is the file of -o; expected another")
        assert not path.exists()


def test_a_folder_that_is_gone_is_no_traceback(pagewalk, image, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert pagewalk("image", image)[0] == 0
    code, _, err = pagewalk("image", image, "-o", "x", "--json", "y")
    assert code == 2
    assert err.startswith("pagewalk: error: y: cannot be written: No such file or directory; exp")


def test_a_device_may_take_all(pagewalk, image):
    assert pagewalk("image", image, "-o", os.devnull, "--json", os.devnull)[0] == 0


def test_an_image_may_be_cut_in_place(pagewalk, image):
    assert pagewalk("image", image, "--limit", 10, "-o", image)[0] == 0
    assert len(Image.load(image).views[0].probes) == 10


@pytest.mark.parametrize("words", [
    ["buddy", "none", "none"], ["cosim", "huge", "--memory", "2"], ["replay", "none"]])
def test_work_that_fails_leaves_the_figures_of_before(words, refused, tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text("kept")
    for path in old, new:
        assert refused(*words, "--json", path)
    assert old.read_text() == "kept"
    assert not new.exists()


def test_an_interrupt_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("kept")
    for file in path, tmp_path / "new":
        with pytest.raises(KeyboardInterrupt), output_file(file):
            raise KeyboardInterrupt
    assert path.read_text() == "kept"
    assert not (tmp_path / "new").exists()


def test_what_is_written_takes_the_place_of_all_that_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("long " * 99)
    with json_file(path) as write:
        assert path.read_text() == "long " * 99
        write({"one": 1})
    assert json.loads(path.read_text()) == {"one": 1}


def test_a_link_that_leads_nowhere_is_written_through(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with output_file(tmp_path / "link") as write:
        write("x")
    assert (tmp_path / "target").read_text() == "x"


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with output_file(tmp_path / "pipe") as write:
        write("figures")
    assert os.read(reader, 99) == b"figures"
    os.close(reader)
    assert (tmp_path / "pipe").exists()


def test_standard_output_has_a_name(capsys):
    with output_file(STDOUT) as write:
        write("text")
    assert capsys.readouterr().out == "text"


def test_verbs_without_outputs_or_inputs_are_let_through():
    class Nothing:
        pass

    check_outputs(Nothing())


@pytest.mark.parametrize("path", ["/dev/full", "/dev/full/x", "/nowhere/x"])
def test_what_cannot_be_written_is_told(path):
    with pytest.raises(InputError, match=rf"^{path}: cannot be written: "), output_file(
            output_name(path)) as write:
        write("x")


@pytest.mark.parametrize("words", [["-o"], ["--json"]])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_new_file_that_cannot_be_written_whole_goes(words, is_new, refused, image, tmp_path):
    path = tmp_path / "x"
    if not is_new:
        path.write_bytes(b"x")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        message = refused("image", image, *words, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert message == f"{path}: cannot be written: File too large; expected a file name"
    assert path.exists() != is_new


def test_what_outputs_are_called_in_a_verb_is_no_switch_of_another():
    verbs = verbs_of(command_parser())
    named = [(verb, action.dest) for verb, parser in verbs.items() for action in parser._actions
             if action.dest in (*OUTPUTS, *INPUTS) and action.nargs == 0]
    assert named == []
