"""Options that make the random runs longer than a test run needs them."""


def pytest_addoption(parser):
    parser.addoption("--accesses", type=int, default=200_000, metavar="N",
                     help="accesses, for each mode, while page tables change (%(default)s)")
    parser.addoption("--operations", type=int, default=300_000, metavar="N",
                     help="random operations of the buddy allocator (%(default)s)")
