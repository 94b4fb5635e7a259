// One translation by x86 page tables, from the SDM (volume 3A, chapter 4), for a page in a browser.
// Addresses, entries and registers are BigInts; a machine is what `machine_facts` writes.
"use strict";

const VECTOR = { SS: 12, GP: 13, PF: 14, MC: 18 };
const FLAG = { P: 0, RW: 1, US: 2, PWT: 3, PCD: 4, A: 5, D: 6, PS: 7, G: 8, PAT_LARGE: 12, XD: 63 };
const KEY = 59;
const CR0 = { WP: 16, PG: 31 };
const CR4 = { PSE: 4, PAE: 5, PGE: 7, PCIDE: 17, SMEP: 20, SMAP: 21, PKE: 22 };
const NXE = 11;

const bit = (value, number) => (value >> BigInt(number) & 1n) === 1n;
const ones = (high, low) =>
  low > high ? 0n : (1n << BigInt(high + 1)) - (1n << BigInt(low));

// What an entry of a level says under the registers.
function decode(machine, registers, level, entry) {
  const wide = machine.entryBytes === 8;
  const large = level.leaf === "if PS" && bit(entry, FLAG.PS) &&
    (wide || bit(registers.cr4, CR4.PSE));
  const leaf = large || level.leaf === "always";
  let reserved = 0n;
  if (wide) {
    reserved |= ones(machine.maxPaddrBits - 1, machine.paddrBits);
    if (!bit(registers.efer, NXE)) reserved |= 1n << BigInt(FLAG.XD);
    if (level.leaf === "never") reserved |= 1n << BigInt(FLAG.PS);
    if (large) reserved |= ones(level.shift - 1, 13);
  } else if (large) {
    reserved |= ones(21, machine.paddrBits - 19);  // PSE-36
  }
  return { leaf, large, isReserved: (entry & reserved) !== 0n };
}

function tableAddress(machine, entry) {
  return entry & ones(Math.min(machine.paddrBits, 8 * machine.entryBytes) - 1, 12);
}

function pageAddress(machine, level, entry, large) {
  const low = tableAddress(machine, entry) & ~ones(level.shift - 1, 0);
  return large && machine.entryBytes === 4 ? low | (entry >> 13n & 0xFFn) << 32n : low;
}

// Whether the rights of a page, but for protection keys, permit an access.
function permits(rights, registers, access) {
  const fetch = access.kind === "fetch", write = access.kind === "write";
  if (fetch && rights.executeDisable) return false;
  if (access.user && !access.implicit) return rights.user && (!write || rights.writable);
  if (fetch) return !(rights.user && bit(registers.cr4, CR4.SMEP));
  const explicit = access.ac && !access.implicit;
  if (rights.user && bit(registers.cr4, CR4.SMAP) && !explicit) return false;
  return !write || rights.writable || !bit(registers.cr0, CR0.WP);
}

function keyForbids(machine, rights, registers, access) {
  if (machine.vaddrBits !== 64 || !bit(registers.cr4, CR4.PKE) || !rights.user) return false;
  if (access.kind === "fetch") return false;
  const [all, writes] = [0, 1].map((which) => bit(registers.pkru, 2 * rights.key + which));
  const binds = (access.user && !access.implicit) || bit(registers.cr0, CR0.WP);
  return all || (writes && access.kind === "write" && binds);
}

function errorCode(registers, access, why) {
  const told = bit(registers.cr4, CR4.SMEP) ||
    (bit(registers.cr4, CR4.PAE) && bit(registers.efer, NXE));
  return Number(!!why.present) | Number(access.kind === "write") << 1 |
    Number(access.user && !access.implicit) << 2 | Number(!!why.reserved) << 3 |
    Number(access.kind === "fetch" && told) << 4 | Number(!!why.key) << 5;
}

// Translate an access. `memory` has read(paddr), which is undefined where there is no memory, and
// write(paddr, entry), by which accessed and dirty flags are set. The result has the steps of the
// walk, and either a vector and an error code or a physical address and what goes with it.
function translate(machine, registers, access, memory) {
  const steps = [], fault = (vector, code = 0) => ({ steps, vector, errorCode: code });
  if (!bit(registers.cr0, CR0.PG)) return { steps, paddr: access.vaddr & 0xFFFFFFFFn };
  const sign = access.vaddr >> BigInt(machine.translatedBits - 1);
  if (machine.vaddrBits > machine.translatedBits && sign !== 0n &&
      sign !== ones(machine.vaddrBits - machine.translatedBits, 0))
    return fault(access.stack ? VECTOR.SS : VECTOR.GP);
  const rights = { writable: true, user: true, executeDisable: false, key: 0 };
  let table = tableAddress(machine, registers.cr3);
  for (const level of machine.levels) {
    const index = access.vaddr >> BigInt(level.shift) & ones(level.indexBits - 1, 0);
    const paddr = table + index * BigInt(machine.entryBytes), entry = memory.read(paddr);
    if (entry === undefined) return fault(VECTOR.MC);
    const step = { level, index, paddr, entry, updated: entry };
    steps.push(step);
    const set = (...flags) => {
      for (const flag of flags) step.updated |= 1n << BigInt(flag);
      if (step.updated !== entry) memory.write(paddr, step.updated);
    };
    const refuse = (why) => fault(VECTOR.PF, errorCode(registers, access, why));
    if (!bit(entry, FLAG.P)) return refuse({});
    const said = decode(machine, registers, level, entry);
    step.leaf = said.leaf;
    if (said.isReserved) return refuse({ present: true, reserved: true });
    rights.writable &&= bit(entry, FLAG.RW);
    rights.user &&= bit(entry, FLAG.US);
    rights.executeDisable ||= machine.entryBytes === 8 && bit(entry, FLAG.XD);
    if (!said.leaf) {
      set(FLAG.A);
      table = tableAddress(machine, entry);
      continue;
    }
    rights.key = machine.vaddrBits === 64 ? Number(entry >> BigInt(KEY) & 15n) : 0;
    const key = keyForbids(machine, rights, registers, access);
    if (key || !permits(rights, registers, access)) return refuse({ present: true, key });
    set(FLAG.A, ...(access.kind === "write" ? [FLAG.D] : []));
    const offset = access.vaddr & ones(level.shift - 1, 0);
    const pat = bit(entry, said.large ? FLAG.PAT_LARGE : FLAG.PS);
    return {
      steps, rights, level, paddr: pageAddress(machine, level, entry, said.large) | offset,
      memoryType: 4 * pat + 2 * bit(entry, FLAG.PCD) + bit(entry, FLAG.PWT),
      dirty: bit(step.updated, FLAG.D),
      isGlobal: bit(entry, FLAG.G) && bit(registers.cr4, CR4.PGE),
    };
  }
  throw new Error("the last level is always a leaf");
}
