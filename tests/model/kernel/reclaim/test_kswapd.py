"""How long kswapd goes on."""

from pagewalk.model.kernel.reclaim.kswapd import balance_pgdat
from pagewalk.model.kernel.reclaim.lru import LruFlag, LruList
from pagewalk.model.kernel.reclaim.scan import ScanControl

from ..page_world import PageWorld


def test_kswapd_goes_on_until_the_node_is_balanced_and_no_longer():
    world = PageWorld(4000)
    world.fill(range(4000))
    sc = ScanControl(nr_to_reclaim=300, kswapd=True)
    freed = balance_pgdat(world.lruvec, sc, world, lambda: len(world.freed) >= 1000)
    assert 1000 <= freed < 1400
    assert world.lruvec.vmstat["pgsteal_kswapd"] == freed
    assert balance_pgdat(world.lruvec, ScanControl(kswapd=True), world, lambda: True) == 0


def test_kswapd_gives_up_when_nothing_can_be_freed():
    world = PageWorld()
    world.slots = 0
    world.fill(range(10))
    assert balance_pgdat(world.lruvec, ScanControl(kswapd=True), world, lambda: False) == 0


def test_kswapd_ages_anonymous_pages_even_if_files_are_enough():
    world = PageWorld()
    world.fill(range(100), LruFlag.ACTIVE)
    world.fill(range(100, 900), LruFlag.FILE)
    balance_pgdat(world.lruvec, ScanControl(kswapd=True), world, lambda: len(world.freed) > 32)
    assert world.lruvec.size(LruList.INACTIVE_ANON)
