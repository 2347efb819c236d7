// Code at an instruction pointer: from there to the record that runs it, or to the fault that fetching it is.

import type { ReasonId } from '../../x86/reasons.ts';
import type { Instruction } from 'iced-x86';
import type { PhysAddr } from '../../bits/address.ts';
import { decodeOne } from '../../code/disassembly.ts';
import type { CodeCache } from '../decode/codeCache.ts';
import type { CodeMode, CodePage } from '../state/codeContext.ts';
import { type Access, type Fault, fault, isFault } from '../state/cpu.ts';
import { isTooLong, MAX_INSTRUCTION, runsOut } from '../decode/instructionLength.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import { sameMode } from './mode.ts';
import type { Translations } from '../mmu/translations.ts';

const PAGE_MASK = 0xfffn;

export class Fetch {
  readonly #memory: GuestMemory;
  readonly #code: CodeCache;
  readonly #translations: Translations;
  readonly #translate: (linear: bigint, access: Access) => PhysAddr | Fault;
  #mode: CodeMode = { bitness: 16, base: 0n, limit: 0xffffn, sse: false, vex: false, avx: false };

  constructor(
    memory: GuestMemory,
    code: CodeCache,
    translations: Translations,
    translate: (linear: bigint, access: Access) => PhysAddr | Fault,
  ) {
    this.#memory = memory;
    this.#code = code;
    this.#translations = translations;
    this.#translate = translate;
    // Fetching where nothing answers reads all ones: a page of 0xff, which decodes to #UD.
    memory.bytes.fill(0xff, at.VOID_PAGE, at.VOID_PAGE + 4096);
  }

  /** How code is decoded now. */
  get mode(): CodeMode {
    return this.#mode;
  }

  changeMode(mode: CodeMode): void {
    // What is cached of fetches names code that was decoded in the old mode.
    if (!sameMode(mode, this.#mode)) this.#translations.clear();
    this.#mode = mode;
  }

  /** Record of the instruction at `ip`. */
  record(ip: bigint): number | Fault {
    const { base, limit } = this.#mode;
    if (ip > limit) return fault('fetch-beyond-limit', 13, 0);
    const linear = BigInt.asUintN(64, ip + base);
    const known = this.#translations.record(linear);
    if (known) return known;
    for (;;) {
      const page = this.#page(linear);
      if (isFault(page)) return page;
      const context = this.#code.context(ip, this.#mode, page);
      this.#translations.setContext(linear, context.address);
      let missing: Fault | undefined;
      const record = this.#code.record(context, ip, (nextIp) => {
        const nextLinear = BigInt.asUintN(64, nextIp + base);
        const next = this.#page(nextLinear);
        if (!isFault(next)) {
          const following = this.#code.context(nextIp, this.#mode, next);
          this.#translations.setContext(nextLinear, following.address);
          return next;
        }
        missing = next;
        return undefined;
      });
      if (record) return record;
      if (missing) return missing;
    }
  }

  /** Where the guest fetches from. */
  #page(linear: bigint): CodePage | Fault {
    const known = this.#translations.fetched(linear);
    if (known) return known;
    const page = this.#walk(linear, { fetch: true });
    if (!isFault(page)) this.#translations.setFetch(linear, page);
    return page;
  }

  /** The same for whoever watches: nothing is left behind. */
  #peek(linear: bigint): CodePage | Fault {
    return this.#translations.fetched(linear) ?? this.#walk(linear, { fetch: true, peek: true });
  }

  #walk(linear: bigint, access: Access): CodePage | Fault {
    const physical = this.#translate(linear, access);
    if (isFault(physical)) return physical;
    const host = this.#memory.hostOf(physical) ?? at.VOID_PAGE;
    return { hostPage: host >>> 12, physicalPage: Math.floor(physical / 4096) };
  }

  /** Does the instruction at `ip` need more than 15 bytes, or more than the code segment's limit leaves it? */
  unfetchable(ip: bigint): ReasonId | undefined {
    const bytes = this.bytes(ip);
    if (isFault(bytes)) return undefined;
    const { bitness } = this.#mode;
    if (this.#fetchable(ip) < MAX_INSTRUCTION) return runsOut(bytes, bitness) ? 'fetch-beyond-limit' : undefined;
    return isTooLong(bytes, bitness) ? 'instruction-too-long' : undefined;
  }

  /** Bytes of an instruction that the code segment's limit lets be fetched, at most 15. */
  #fetchable(ip: bigint): number {
    const behind = this.#mode.limit - ip;
    return behind < BigInt(MAX_INSTRUCTION) ? Math.max(0, Number(behind) + 1) : MAX_INSTRUCTION;
  }

  /** The instruction at `ip`, decoded afresh, without a fetch that the guest could tell. The caller frees it. */
  instruction(ip: bigint): Instruction | Fault {
    const bytes = this.bytes(ip);
    if (isFault(bytes)) return bytes;
    return decodeOne(bytes, ip, this.#mode.bitness);
  }

  /** Up to 15 bytes of code at an instruction pointer; fewer where the next page cannot be fetched or CS ends. */
  bytes(ip: bigint): Uint8Array | Fault {
    const linear = BigInt.asUintN(64, ip + this.#mode.base);
    const page = this.#peek(linear);
    if (isFault(page)) return page;
    const offset = Number(linear & PAGE_MASK);
    const most = this.#fetchable(ip);
    const here = Math.min(most, 4096 - offset);
    const start = page.hostPage * 4096 + offset;
    const out = [...this.#memory.bytes.slice(start, start + here)];
    if (here < most) {
      const next = this.#peek(linear + BigInt(here));
      if (!isFault(next))
        out.push(...this.#memory.bytes.slice(next.hostPage * 4096, next.hostPage * 4096 + most - here));
    }
    return Uint8Array.from(out);
  }

  /** Drops what is decoded of the page an address lies in. */
  forget(ip: bigint): void {
    const page = this.#peek(BigInt.asUintN(64, ip + this.#mode.base));
    if (!isFault(page)) this.#code.forget(page.hostPage);
  }
}
