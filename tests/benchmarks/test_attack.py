import pytest

from .attack import parse


@pytest.mark.parametrize(("words", "message"), [
    (["--cycles", "0"], "argument --cycles: expected a whole number from 1, not '0'"),
    (["--cycles=-5"], "argument --cycles: expected a whole number from 1, not '-5'"),
    (["--seeds", "0"], "argument --seeds: expected a whole number from 1 to "),
    (["--seeds=-3"], "argument --seeds: expected a whole number from 1 to "),
    (["--first=-1"], "argument --first: expected a whole number from 0 to "),
    (["--first", str(1 << 64)], "argument --first: expected a whole number from 0 to "),
    (["--first", str((1 << 64) - 9)],
     "argument --seeds: 10 from 18446744073709551607 on; expected none above "),
    (["--config", "big"], "argument --config: invalid choice: 'big'"),
    (["--plant", "none"], "argument --plant: invalid choice: 'none'"),
])
def test_an_attack_that_attacks_nothing_is_refused(capsys, words, message):
    with pytest.raises(SystemExit, match=r"^2$"):
        parse(["tiny"], ["bug"], words)
    assert message in capsys.readouterr().err


def test_the_last_seed_is_taken():
    args = parse(["tiny"], ["bug"], ["--first", str((1 << 64) - 10), "--cycles", "1"])
    assert (args.seeds, args.cycles) == (10, 1)
