import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64, AccessKind
from pagewalk.sim.boot.log import BootLog, RecordKind

from .log_maker import LogMaker


@pytest.fixture
def log():
    """Records 0 to 5 are the mark and the registers, 12 the end."""
    maker = LogMaker()
    maker.access(0x1000, 0x5000)
    maker.fault(0x2000, 0)
    maker.store(0x3FFF, 1)
    maker.access(0x1000, 0x5000)
    maker.access(0x1000, 0x6000, AccessKind.WRITE)
    maker.store(0x4008, 2, RecordKind.PTSET)
    log = maker.log()
    skipped = log["skipped"].copy()
    skipped[[7, 10]] = 255
    return BootLog(log.fields | {"skipped": skipped, "skipped_big_at": np.array([7, 10]),
                                 "skipped_big": np.array([300, 400])})


def test_records_are_counted_by_what_they_are(log):
    assert (len(log), log.translations) == (13, 4)
    assert log.at.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 11, 12]
    assert log.of_kind(RecordKind.PTST, RecordKind.FAULT).tolist() == [6, 7]
    assert log.values(RecordKind.PTSET).tolist() == [2]


@pytest.mark.parametrize(("translations", "records"), [(1, 7), (2, 8), (3, 10), (4, 11)])
def test_a_prefix_ends_with_a_translation(log, translations, records):
    prefix = log.prefix(translations)
    assert (len(prefix), prefix.translations) == (records, translations)
    assert prefix["ev"].tolist() == log["ev"][:records].tolist()
    assert len(prefix["skipped"]) == records
    specials = np.count_nonzero(log.at < records)
    assert prefix["sp_val"].tolist() == log["sp_val"][:specials].tolist()
    assert prefix["skipped_big"].tolist() == [300, 400][:(records > 7) + (records > 10)]
    assert prefix["acc_ppn"].tolist() == [5, 6]


@pytest.mark.parametrize(("mode", "address"), [(X86_64, 0x3FF8), (IA32, 0x3FFC)])
def test_an_entry_lies_at_a_multiple_of_its_size(mode, address):
    maker = LogMaker(mode)
    maker.store(0x3FFF, 1)
    maker.store(0x2010, 1)
    log = maker.log()
    assert log.entry_address(log.of_kind(RecordKind.PTST)).tolist() == [address, 0x2010]
