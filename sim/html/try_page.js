// The interactive page: an access and registers from a form, entries that can be changed, a TLB.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const machine = data.machine;
const entries = new Map(data.entries.map(([paddr, entry]) => [BigInt(paddr), BigInt(entry)]));
const frames = new Set(data.frames.map(BigInt));
const tlb = [];
const ACCESS = { user: "at CPL 3", implicit: "implicit", ac: "EFLAGS.AC", stack: "through SS" };
const BITS = [["cr0", CR0], ["cr4", CR4], ["efer", { NXE }]];
const SHOWN = ["P", "RW", "US", "PWT", "PCD", "A", "D", "PS", "G", "XD"];

const element = (id) => document.getElementById(id);
const hex = (value) => `0x${value.toString(16)}`;
const memory = {
  read: (paddr) => frames.has(paddr >> 12n) ? entries.get(paddr) ?? 0n : undefined,
  write: (paddr, entry) => { entries.set(paddr, entry); },
};

function number(id, bits) {
  const text = element(id).value.trim();
  if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text) || BigInt(text) >> BigInt(bits))
    throw new RangeError(`${id.toUpperCase()}: expected a number of at most ${bits} bits, ` +
                         `such as 0x1000, not "${text.slice(0, 40)}"`);
  return BigInt(text);
}

function checkbox(label, checked, change, { id, name } = {}) {
  const outer = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, { type: "checkbox", checked });
  if (id) box.id = id;
  if (name) box.setAttribute("aria-label", name);
  box.addEventListener("change", () => change(box.checked));
  outer.append(box, ` ${label}`);
  return outer;
}

function registers() {
  const found = { cr3: number("cr3", 64), pkru: number("pkru", 32) };
  for (const [name, bits] of BITS) {
    found[name] = BigInt(data.registers[name]);
    for (const one in bits) {
      const mask = 1n << BigInt(bits[one]);
      found[name] = element(one).checked ? found[name] | mask : found[name] & ~mask;
    }
  }
  return found;
}

function access() {
  const flags = Object.keys(ACCESS).map((name) => [name, element(name).checked]);
  return { vaddr: number("vaddr", machine.vaddrBits), kind: element("kind").value,
           ...Object.fromEntries(flags) };
}

const pcid = (state) =>
  machine.vaddrBits === 64 && bit(state.cr4, CR4.PCIDE) ? state.cr3 & 0xFFFn : 0n;
const holds = (one, vaddr, state) => one.vaddr === (vaddr & ~ones(one.shift - 1, 0)) &&
  (one.isGlobal || one.pcid === pcid(state));

function lookUp(state, asked) {
  return tlb.find((one) => holds(one, asked.vaddr, state) && (asked.kind !== "write" || one.dirty) &&
    permits(one.rights, state, asked) && !keyForbids(machine, one.rights, state, asked));
}

function drop(vaddr, state) {
  for (let at = tlb.length - 1; at >= 0; --at) if (holds(tlb[at], vaddr, state)) tlb.splice(at, 1);
}

function keep(found, state, asked) {
  drop(asked.vaddr, state);
  const offset = ones(found.level.shift - 1, 0);
  tlb.push({ vaddr: asked.vaddr & ~offset, shift: found.level.shift, paddr: found.paddr & ~offset,
             rights: { ...found.rights }, dirty: found.dirty, isGlobal: found.isGlobal,
             pcid: pcid(state) });
}

// Look an access up, or walk it; show what was found.
function run() {
  try {
    const state = registers(), asked = access();
    const hit = bit(state.cr0, CR0.PG) ? lookUp(state, asked) : undefined;
    if (hit) {
      const now = translate(machine, state, asked, { ...memory, write() {} });
      tell(hit.paddr | asked.vaddr & ones(hit.shift - 1, 0), "The TLB has the page: no entry is " +
           `read. A walk would find ${now.paddr === undefined ? "a fault" : hex(now.paddr)}.`);
      showLevels(now.steps);
    } else {
      const found = translate(machine, state, asked, memory);
      if (found.vector === VECTOR.PF) drop(asked.vaddr, state);
      if (found.level) keep(found, state, asked);
      tellWalk(found, asked);
      showLevels(found.steps);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    tell(undefined, error.message);
    showLevels([]);
  }
  showTlb();
}

function tell(paddr, why, fault = "No translation") {
  element("outcome").textContent = paddr === undefined ? fault : `Physical address ${hex(paddr)}`;
  element("outcome").classList.toggle("fault", paddr === undefined);
  element("why").textContent = why;
}

function tellWalk(found, asked) {
  if (found.vector === undefined) {
    tell(found.paddr, found.level ? `The ${found.level.name} maps it.` : "Paging is off.");
    return;
  }
  const name = Object.keys(VECTOR).find((one) => VECTOR[one] === found.vector);
  const code = found.errorCode, said = ["P", "W/R", "U/S", "RSVD", "I/D", "PK"]
    .map((one, at) => `${one}=${code >> at & 1}`).join(" ");
  const why = { PF: `Error code ${hex(code)}: ${said}; CR2 ${hex(asked.vaddr)}.`,
                MC: "There is no memory where the next entry should be, or this page lacks it.",
                GP: "The address is not canonical.", SS: "The address is not canonical." };
  tell(undefined, why[name], `#${name}`);
}

function row(heading, ...cells) {
  const made = document.createElement("tr");
  for (const [at, content] of [heading, ...cells].entries()) {
    const cell = document.createElement(at ? "td" : "th");
    if (!at) cell.scope = "row";
    cell.append(...[content].flat());
    made.append(cell);
  }
  return made;
}

const flagBox = (level, label, checked, change) =>
  checkbox(label, checked, change, { name: `${level.name} ${label}` });

function showLevels(steps) {
  element("levels").tBodies[0].replaceChildren(...steps.map((step) => {
    const value = memory.read(step.paddr), level = step.level;
    const change = (entry) => { memory.write(step.paddr, entry); run(); };
    const flags = SHOWN.filter((name) => name !== "XD" || machine.entryBytes === 8).map((name) =>
      flagBox(level, name === "PS" && level.leaf === "always" ? "PAT" : name,
              bit(value, FLAG[name]), () => change(value ^ 1n << BigInt(FLAG[name]))));
    const whole = document.createElement("input");
    Object.assign(whole, { value: hex(value), size: 20, spellcheck: false });
    whole.setAttribute("aria-label", `${level.name}, whole entry`);
    whole.addEventListener("change", () => {
      const right = /^0x[0-9a-f]+$/i.test(whole.value) &&
        !(BigInt(whole.value) >> BigInt(8 * machine.entryBytes));
      change(right ? BigInt(whole.value) : value);
    });
    const target = !bit(value, FLAG.P) ? "nothing" : step.leaf ? "a page" :
      `table at ${hex(tableAddress(machine, value))}`;
    return row(level.name, String(step.index), hex(step.paddr), whole, flags, target);
  }));
}

function showTlb() {
  element("tlb").tBodies[0].replaceChildren(...tlb.map((one) => {
    const { user, writable, executeDisable } = one.rights;
    const rights = `${user ? "u" : "-"}r${writable ? "w" : "-"}${executeDisable ? "-" : "x"}`;
    return row(hex(one.vaddr), hex(1n << BigInt(one.shift)), hex(one.paddr), rights,
               one.dirty ? "yes" : "no", one.isGlobal ? "all (global)" : String(one.pcid));
  }));
}

function begin() {
  for (const name in ACCESS)
    element("flags").append(checkbox(ACCESS[name], data.access[name], run, { id: name }));
  for (const [register, bits] of BITS)
    for (const name in bits)
      element("bits").append(checkbox(
        `${register.toUpperCase()}.${name}`, bit(BigInt(data.registers[register]), bits[name]),
        run, { id: name }));
  element("vaddr").value = hex(BigInt(data.access.vaddr));
  element("kind").value = data.access.kind;
  for (const id of ["cr3", "pkru"]) element(id).value = hex(BigInt(data.registers[id]));
  for (const id of ["kind", "cr3", "pkru"]) element(id).addEventListener("change", run);
  element("access").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  element("flush").addEventListener("click", () => { tlb.length = 0; run(); });
  element("invlpg").addEventListener("click", () => {
    try { drop(access().vaddr, registers()); } catch (error) { return; }
    showTlb();
  });
  run();
}

begin();
