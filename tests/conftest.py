def pytest_addoption(parser):
    parser.addoption("--accesses", type=int, default=200_000, metavar="N",
                     help="accesses of each run in which page tables change (%(default)s)")
