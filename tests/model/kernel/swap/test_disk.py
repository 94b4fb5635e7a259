from pagewalk.model.kernel.swap.disk import HARD_DISK, SOLID_STATE, DiskLatency


def test_page_takes_a_seek_unless_it_follows_the_one_before():
    assert DiskLatency(100, 3).time_ns(sequential=False) == 103
    assert DiskLatency(100, 3).time_ns(sequential=True) == 3


def test_disks_take_what_their_data_sheets_say():
    turn_ns = 60e9 / 7200
    assert abs(HARD_DISK.seek_ns - (8.5e6 + turn_ns / 2)) < 1e4
    assert abs(HARD_DISK.transfer_ns - 4096 / 150e6 * 1e9) < 100
    assert abs(SOLID_STATE.transfer_ns - 4096 / 500e6 * 1e9) < 100
