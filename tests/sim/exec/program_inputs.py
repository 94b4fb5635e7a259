"""The files that the programs of the table are given: the same bytes and times each time."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

TIME = 1_700_000_000
WORDS = ("the quick brown fox jumps over the lazy dog while seven wizards make toxic brew for an "
         "evil queen").split()


def _words():
    return "".join(f"{WORDS[n * n % 17]} {WORDS[n * 7 % 19]} {n}\n" for n in range(200))


def _numbers():
    return "".join(f"{n * 7919 % 1009}\n" for n in range(300))


def _table():
    rows = (f"{n},{WORDS[n % 19]},{n * n * 37 % 1000 / 10}\n" for n in range(60))
    return "id,name,value\n" + "".join(rows)


TEXTS = {
    "words": _words, "numbers": _numbers, "table.csv": _table,
    "sorted": lambda: "".join(sorted(_words().splitlines(True))),
    "left": lambda: "".join(f"{n} left{n % 3}\n" for n in range(10, 40)),
    "right": lambda: "".join(f"{n} right{n % 4}\n" for n in range(20, 50, 2)),
    "old.txt": lambda: "one\ntwo\nthree\nfour\nfive\nsix\n",
    "new.txt": lambda: "one\n2\nthree\nfour\nfive and a half\nsix\nseven\n",
    "fix.patch": lambda: "--- old.txt\n+++ old.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n",
    "tabs": lambda: "a\tb\tc\n\tindented\n        spaces\n", "dos.txt": lambda: "a\r\nb\r\nc\r\n",
    "long": lambda: " ".join(WORDS * 20) + "\n", "empty": lambda: "",
    "script.sh": lambda: "#!/bin/sh\necho script $0 $#\nexit 3\n",
    "dir/one.c": lambda: "int main(void)\n{\n    return 0;\n}\n",
    "dir/two.h": lambda: "#define TWO 2\n", "dir/sub/three.txt": lambda: "three\n",
    "parts/10-first": lambda: "#!/bin/sh\necho first\n",
    "parts/20-second": lambda: "#!/bin/sh\necho second $1\n",
    "sums": lambda: "60b725f10c9c85c70d97880dfe8191b3  a-file\n", "a-file": lambda: "a\n",
}
RUNNABLE = ("script.sh", "parts/10-first", "parts/20-second")


def _archive(files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), TIME
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _zip(files):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20)), data,
                             zipfile.ZIP_DEFLATED)
    return made.getvalue()


def make_inputs(folder):
    """Fill a folder that is not there yet."""
    data = {name: make().encode() for name, make in TEXTS.items()}
    data["bytes"] = bytes(range(256)) * 16
    text = data["words"]
    members = [("words", text), ("numbers", data["numbers"])]
    data |= {"words.gz": gzip.compress(text, mtime=TIME), "words.bz2": bz2.compress(text),
             "words.xz": lzma.compress(text),
             "words.lzma": lzma.compress(text, format=lzma.FORMAT_ALONE),
             "both.tar": _archive(members),
             "both.tar.gz": gzip.compress(_archive(members), mtime=TIME),
             "both.zip": _zip(members), "broken.gz": gzip.compress(text, mtime=TIME)[:300]}
    for name, content in data.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if name in RUNNABLE else 0o644)
    (folder / "link").symlink_to("old.txt")
    (folder / "dangling").symlink_to("nowhere")
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (TIME, TIME), follow_symlinks=False)
