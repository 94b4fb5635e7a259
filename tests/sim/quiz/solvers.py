"""Answers to exercises, worked out from their text alone: nothing here knows the model.

Each solver takes what is given and the prompts of an exercise, and returns the answers.
"""

import re


def numbers(text, pattern):
    return [tuple(int(one, 0) for one in found) for found in re.findall(pattern, text)]


def walk_small(given, prompts):
    root = int(re.search(r"directory is page (\d+)", given)[1])
    pages = {int(page): bytes.fromhex(row)
             for page, row in re.findall(r"page +(\d+): ([0-9a-f ]+)", given)}
    answers = []
    for prompt in prompts:
        vaddr = int(re.search(r"0x[0-9a-f]+", prompt)[0], 16)
        pde = pages.get(root, bytes(32))[vaddr // 1024]
        if pde < 128:
            answers.append("fault pde")
            continue
        pte = pages.get(pde - 128, bytes(32))[vaddr // 32 % 32]
        answers.append(f"0x{(pte - 128) * 32 + vaddr % 32:03x}" if pte >= 128 else "fault pte")
    return answers


def walk_real(given, prompts):
    wide = given.startswith("4-level")
    flags = {name: bool(int(value)) for name, value in
             re.findall(r"(CR0\.WP|CR4\.SMEP|CR4\.SMAP|EFER\.NXE) = ([01])", given)}
    tables = {}
    for line in given.splitlines():
        if found := re.match(r"\S.* at (0x[0-9a-f]+)$", line):
            table = tables.setdefault(int(found[1], 16), {})
        elif found := re.match(r" +entry +(\d+): (0x[0-9a-f]+)", line):
            table[int(found[1])] = int(found[2], 16)
    root = int(re.search(r"CR3 = (0x[0-9a-f]+)", given)[1], 16)
    return [real_access(tables, root, prompt, flags, wide) for prompt in prompts]


def real_access(tables, table, prompt, flags, wide):
    found = re.match(r"(user|supervisor) (read|write|fetch) at (0x[0-9a-f]+)", prompt)
    user, kind, vaddr = found[1] == "user", found[2], int(found[3], 16)
    writable = users = True
    nx = False
    code = 2 * (kind == "write") + 4 * user
    if kind == "fetch" and (flags["CR4.SMEP"] or flags.get("EFER.NXE")):
        code += 16
    shifts = (39, 30, 21, 12) if wide else (22, 12)
    for shift in shifts:
        entry = tables[table].get(vaddr >> shift & (511 if wide else 1023), 0)
        if not entry & 1:
            return f"fault {code:#x}"
        if wide and entry >> 40 & 0xFFF:  # bits 51:40
            return f"fault {code + 9:#x}"
        writable, users, nx = writable and entry & 2, users and entry & 4, nx or entry >> 63
        large = shift in (21, 22) and entry & 128
        if shift == 12 or large:
            break
        table = entry & 0xFF_FFFF_F000
    if user:
        allowed = users and (kind != "write" or writable)
    elif kind == "fetch":
        allowed = not (users and flags["CR4.SMEP"])
    else:
        allowed = not (users and flags["CR4.SMAP"])
        allowed = allowed and (kind == "read" or writable or not flags["CR0.WP"])
    if not allowed or (kind == "fetch" and nx):
        return f"fault {code + 1:#x}"
    page = 1 << shift
    return f"{(entry & 0xFF_FFFF_F000) // page * page + vaddr % page:#x}"


def tlb_small(given, _):
    accesses = [int(one, 16) for one in given.split("Accesses: ")[1].split()]
    stamps, letters = {}, ""
    for time, vaddr in enumerate(accesses):
        page = vaddr // 32
        letters += "H" if page in stamps else "M"
        same = [one for one in stamps if one % 2 == page % 2]
        if page not in stamps and len(same) == 2:
            del stamps[min(same, key=stamps.get)]
        stamps[page] = time
    return [letters]


def tlb_real(given, _):
    pages = [(int(vaddr, 16), 4096 if size == "4 K" else 2 << 20, bool(more)) for vaddr, size, more
             in re.findall(r"(0x\w+) -> 0x\w+, (4 K|2 M)bytes(, global)?", given)]
    stamps, letters, reads = {}, "", 0
    for time, line in enumerate(given.split("In this order:")[1].split("\n")):
        found = re.search(r"0x\w+", line)
        page = found and next(one for one in pages
                              if one[0] <= int(found[0], 16) < one[0] + one[1])
        if "CR3" in line:
            stamps = {one: stamp for one, stamp in stamps.items() if one[2]}
        elif "INVLPG" in line:
            stamps.pop(page, None)
        elif "read" in line:
            letters += "H" if page in stamps else "M"
            if page not in stamps:
                reads += 4 if page[1] == 4096 else 3
                if len(stamps) == 4:
                    del stamps[min(stamps, key=stamps.get)]
            stamps[page] = time
    return [letters, str(reads)]


def buddy(given, prompts):
    pages = int(re.search(r"zone of (\d+) pages", given)[1])
    top = int(re.search(r"of order (\d+)\.", given)[1])
    lists = {order: [] for order in range(top + 1)}
    lists[top] = list(range(0, pages, 1 << top))
    live, firsts = {}, {}
    for line in given.split("In this order:")[1].splitlines():
        if found := re.search(r"(\w) = a block of order (\d+)", line):
            order = int(found[2])
            larger = next((one for one in range(order, top + 1) if lists[one]), None)
            firsts[found[1]] = "none"
            if larger is not None:
                first = lists[larger].pop(0)
                for one in range(larger - 1, order - 1, -1):
                    lists[one].insert(0, first + (1 << one))
                live[found[1]] = first, order
                firsts[found[1]] = str(first)
        elif found := re.search(r"free (\w)", line):
            buddy_free(lists, top, *live.pop(found[1]))
    counts = " ".join(str(len(lists[order])) for order in range(top + 1))
    return [*(firsts[re.search(r"page of (\w)\?", prompt)[1]] for prompt in prompts[:-1]), counts]


def buddy_free(lists, top, first, order):
    while order < top and first ^ 1 << order in lists[order]:
        lists[order].remove(first ^ 1 << order)
        first &= ~(1 << order)
        order += 1
    pair = first & ~(1 << order)
    if order < 9 and pair ^ 2 << order in lists.get(order + 1, []):
        lists[order].append(first)
    else:
        lists[order].insert(0, first)


def faults_small(given, prompts):
    table = [int(entry, 16) for entry in re.findall(r"entry +\d+: (0x\w+)", given)]
    answers = []
    for prompt in prompts:
        who, kind, vaddr = re.match(r"(\w+) (\w+) at (0x\w+)", prompt).groups()
        vaddr = int(vaddr, 16)
        entry = table[vaddr // 32]
        wrong = not entry & 0x8000 or (who == "user" and (
            not entry & 0x2000 or (kind == "write" and not entry & 0x4000)))
        code = entry // 0x8000 + 2 * (kind == "write") + 4 * (who == "user")
        answers.append(f"fault {code:#x}" if wrong
                       else f"0x{entry % 128 * 32 + vaddr % 32:03x}")
    return answers


def faults_real(given, _):
    maps = [(int(start, 16), int(end, 16), rights) for start, end, rights in
            re.findall(r"([0-9a-f]{8})-([0-9a-f]{8}) (\S{4})", given)]
    pages = {"parent": {}}  # page: [kind of content, writable], content is shared by a list
    written, answers = set(), []
    for line in given.split("In this order:")[1].splitlines():
        if "forks" in line:
            pages["child"] = {}
            for page, entry in pages["parent"].items():
                if mapping_of(maps, page) in written:
                    entry["writable"] = False
                    entry["frame"]["users"] += 1
                    pages["child"][page] = dict(entry)
        elif found := re.search(r"(parent|child): (load from|store to) (0x\w+)", line):
            page, store = int(found[3], 16) // 4096, found[2] == "store to"
            answers += fault(maps, pages[found[1]], page, store, written)
    return answers


def mapping_of(maps, page):
    return next((one for one in maps if one[0] <= page * 4096 < one[1]), None)


def fault(maps, mine, page, store, written):
    entry, mapping = mine.get(page), mapping_of(maps, page)
    if entry and (entry["writable"] or not store):
        return ["none", "none"]
    code = f"{4 + 2 * store + bool(entry):#x}"
    if mapping is None:
        return [code, "maperr"]
    if store and "w" not in mapping[2]:
        return [code, "accerr"]
    if not store:
        mine[page] = {"frame": {"zeros": True, "users": 1}, "writable": False}
        return [code, "zeros"]
    written.add(mapping)
    if entry and entry["frame"]["users"] == 1 and not entry["frame"].get("zeros"):
        entry["writable"] = True
        return [code, "reuse"]
    if entry:
        entry["frame"]["users"] -= 1
    mine[page] = {"frame": {"users": 1}, "writable": True}
    return [code, "copy" if entry else "new"]


def lru_small(given, _):
    frames = int(re.search(r"room for (\d+)", given)[1])
    policy = re.search(r"\((FIFO|LRU|OPT|second\s+chance)\)", given)[1]
    policy = policy.replace("\n", " ")
    uses = given.split("used: ")[1].split()
    memory, bits, faults = [], {}, 0
    for at, page in enumerate(uses):
        if page in memory:
            bits[page] = True
            if policy == "LRU":
                memory.append(memory.pop(memory.index(page)))
            continue
        faults += 1
        if len(memory) == frames:
            victim = memory[0]
            if policy == "OPT":
                later = uses[at:]
                victim = max(memory, key=lambda one: [*later, one].index(one))
            while policy == "second chance" and bits[victim]:
                bits[victim] = False
                memory.append(memory.pop(0))
                victim = memory[0]
            memory.remove(victim)
        memory.append(page)
        bits[page] = False
    return [str(faults)]


def lru_real(given, _):
    active, inactive, referenced = [], [], set()
    for line in given.split("In this order:")[1].split("\n"):
        if line.strip() == "age" and active:
            inactive.insert(0, active.pop())
        elif found := re.search(r"read page (\d+)", line):
            page = found[1]
            if page not in active + inactive:
                inactive.insert(0, page)
            if page in referenced and page in inactive:
                inactive.remove(page)
                active.insert(0, page)
                referenced.remove(page)
            else:
                referenced.add(page)
    return [" ".join(active) or "none", " ".join(inactive) or "none"]


SOLVERS = {"walk": (walk_real, walk_small), "tlb": (tlb_real, tlb_small), "buddy": (buddy, buddy),
           "faults": (faults_real, faults_small), "lru": (lru_real, lru_small)}
"""By topic: of the exercises of a real machine, and of a small one."""
