import pytest

from pagewalk.model.physical.boot_options import Amount, BootOptions, OptionError, memparse


@pytest.mark.parametrize(
    ("value", "size"),
    [("4096", 4096), ("1k", 1024), ("512M", 512 << 20), ("0x10G", 16 << 30), ("2T", 2 << 40),
     ("010K", 8 << 10), ("0", 0), ("1p", 1 << 50), ("1E", 1 << 60)],
)
def test_sizes_are_read_as_the_kernel_reads_them(value, size):
    assert memparse("mem", value) == size


@pytest.mark.parametrize("value", ["", "M", "1X", "-1M", "1MM", "09k", "0x", "mirror", "1.5G"])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(OptionError, match=r"^kernelcore=.*: expected a size such as 512M$"):
        BootOptions.parse(f"quiet kernelcore={value}")


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("console=ttyS0 nokaslr", BootOptions()),
        ("kernelcore=512M", BootOptions(kernelcore=Amount(pages=131072))),
        ("movablecore=30%", BootOptions(movablecore=Amount(percent=30))),
        ("movable_node", BootOptions(movable_node=True)),
        ("numa=off", BootOptions(numa=False)),
        ("numa=noacpi", BootOptions()),
        ("vmalloc=256M", BootOptions(vmalloc_bytes=264 << 20)),
        ("highmem=0", BootOptions(highmem_pages=0)),
        ("highmem=1M highmem=2M", BootOptions(highmem_pages=512)),
    ],
)
def test_parameters_are_read(line, options):
    assert BootOptions.parse(line) == options
