// Records which instructions that carry an absolute address are executed while the boot stub runs: where, when, and with
// what load bias. The plain engine stops at them through probes; everything else runs at full speed.

import { type Instruction, type Register, RegisterExt } from 'iced-x86';
import type { BootRun } from '../run/run.ts';
import { isFault } from '../cpu/state/cpu.ts';
import type { Observation } from '../cpu/interpret/observing.ts';
import type { CpuState } from '../cpu/state/state.ts';
import type { BzImage } from '../image/bzimage.ts';
import { absoluteReferences, type Reference } from '../code/references.ts';
import { locateInMemory } from './location.ts';

export type ExecutedReference = {
  readonly reference: Reference;
  /** Linear address it ran at. */
  readonly runtime: bigint;
  /** Link address: offset in the protected-mode part. */
  readonly link: bigint;
  readonly fileOffset: number;
  readonly bytes: Uint8Array;
  /** What its code was decoded as. */
  readonly bits: 32 | 64;
  /** Instructions retired before its first and its last recorded execution. */
  readonly first: bigint;
  last: bigint;
  times: number;
};

/** After so many executions an instruction is left alone: it is in a loop, and its last execution says little. */
const MAX_TIMES = 64;

export class ReferenceRecorder {
  readonly executed = new Map<string, ExecutedReference>();
  readonly #run: BootRun;
  readonly #image: BzImage;
  readonly #wanted: (reference: Reference) => boolean;
  readonly #known = new Map<bigint, Reference>();
  readonly #observation: Observation;

  /** @param wanted which constants are of interest. Attach before the run starts. */
  constructor(run: BootRun, image: BzImage, wanted: (reference: Reference) => boolean) {
    this.#run = run;
    this.#image = image;
    this.#wanted = wanted;
    this.#observation = run.observe({ choose: (insn) => this.#decoded(insn), instruction: () => this.#execute() });
  }

  /** It records nothing more; what it has recorded stays. */
  dispose(): void {
    this.#observation.dispose();
  }

  #decoded(insn: Instruction): boolean {
    if (this.#run.stages.has('handoff')) return false;
    const reference = absoluteReferences(insn).find(this.#wanted);
    if (!reference) return false;
    this.#known.set(insn.ip, reference);
    return true;
  }

  #execute(): void {
    const { engine } = this.#run.machine;
    const { bitness } = engine.mode;
    // Real mode has no addresses of 32 bits; with a base of its own code is no part of a stub.
    if (bitness === 16 || engine.mode.base !== 0n) return;
    const ip = engine.state.rip;
    const reference = this.#known.get(ip);
    if (!reference) return;
    const key = ip.toString(16);
    const known = this.executed.get(key);
    if (known) {
      known.last = engine.retired;
      known.times++;
      if (known.times >= MAX_TIMES) this.#observation.unprobe({ linear: ip });
      return;
    }
    const insn = engine.currentInstruction();
    if (isFault(insn)) return;
    const bytes = engine.fetchBytes(ip);
    const length = insn.length;
    const base = reference.form === 'base-disp32' ? sumOfRegisters(insn, engine.state) : undefined;
    insn.free();
    const place = locateInMemory(this.#run, this.#image, ip);
    if (isFault(bytes) || !place) return;
    // A base that holds the load address makes the displacement right.
    if (base !== undefined && base >= ip - place.link && ip > place.link) return;
    this.executed.set(key, {
      reference,
      runtime: ip,
      link: place.link,
      fileOffset: place.fileOffset,
      bytes: bytes.slice(0, length),
      bits: bitness,
      first: engine.retired,
      last: engine.retired,
      times: 1,
    });
  }
}

/** Base and scaled index of its memory operand, as a number of 64 bits. */
function sumOfRegisters({ memoryBase, memoryIndex, memoryIndexScale }: Instruction, state: CpuState): bigint {
  const valueOf = (register: Register): bigint =>
    RegisterExt.isGPR(register) ? state.reg(RegisterExt.number(RegisterExt.fullRegister(register))) : 0n;
  return BigInt.asUintN(64, valueOf(memoryBase) + valueOf(memoryIndex) * BigInt(memoryIndexScale));
}
