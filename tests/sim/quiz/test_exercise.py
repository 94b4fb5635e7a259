import pytest

from pagewalk.sim.quiz.exercise import Question


@pytest.mark.parametrize(("answer", "given"), [
    ("0x0ff", "0xFF"), ("0x0ff", "255"), ("255", "0xff"), ("fault 0x7", "Fault   7"),
    ("fault pde", "FAULT PDE"), ("1 0 2", "1,0, 2"), ("none", " none\n"), ("HMM", "hmm"),
    ("fault 0x7", "#PF 0x7"),
])
def test_right_answers_in_other_words(answer, given):
    assert Question("", answer, ("#PF 0x7",) if "fault 0x7" == answer else ()).accepts(given)


@pytest.mark.parametrize(("answer", "given"), [
    ("0x0ff", "ff"), ("255", "25"), ("fault 0x7", "fault"), ("1 0 2", "102"), ("none", ""),
    ("HMM", "HM M"), ("0x10", "10"), ("5", "-5"), ("5", "5.0"), ("0", ""),
])
def test_wrong_answers(answer, given):
    assert not Question("", answer).accepts(given)
