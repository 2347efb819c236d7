// One boot from a configuration to an outcome: build the PC, load the image, run, watch stages and progress. A run is a
// pure function of its configuration; the front end only decides how often it looks.

import { InputError } from '../bits/errors.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import * as at from '../cpu/layout.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import { FLAGS, SEG, type SegmentIndex } from '../cpu/state.ts';
import type { ResetSource } from '../devices/device.ts';
import { SECTOR } from '../devices/virtio/blk.ts';
import type { DiskImage } from '../devices/virtio/disk.ts';
import { type KernelImage, parseImage } from '../image/image.ts';
import type { InputByte } from '../machine/input.ts';
import { Machine, MOST_MOVED, type Unimplemented } from '../machine/machine.ts';
import { type ExtraDevice, MOST_DISKS } from '../machine/pci.ts';
import { type CpuModel, cpuModel, withApic } from '../x86/models.ts';
import { bootImage, type Entry, isMultibootEntry, isProgram } from './boot.ts';
import type { EntryState, RegisterName } from './entry-state.ts';
import { setMemoryTypes } from './firmware.ts';
import { GIB, HIGH_MEMORY_START, HIGH_RAM_START, MMIO_HOLE_START, ramRanges } from './layout.ts';
import type { Boot, WritableMemory } from './linux.ts';
import type { Module } from './program.ts';
import { HANG_WINDOW, ProgressWatch, ZeroRun, ZEROS_RULE } from './progress.ts';
import type { Processor } from './smbios.ts';
import { type Stage, type StageReached, StageTracker } from './stages.ts';
import { SCREEN_LOOK, TextWatch } from './textWatch.ts';

/** Where a run is to stop: at a stage, or where the guest itself ends it. */
export type Goal = Stage | 'end';

export type RunConfig = {
  readonly image: Uint8Array;
  readonly entry?: Entry | undefined;
  readonly loadAt?: number | undefined;
  readonly paging?: 4 | 5 | undefined;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly cmdline: string;
  readonly initrd?: Uint8Array | undefined;
  /** For Multiboot and PVH, behind the initrd. */
  readonly modules?: readonly Module[] | undefined;
  readonly until: Goal;
  /** Stop, too, when the guest has printed this, or shows it on its text screen. */
  readonly untilText?: string | undefined;
  readonly maxInstructions: bigint;
  readonly seed: number;
  /** Plain RAM everywhere, with no hole below 1 MiB: what a real PC does not have. */
  readonly plainRam?: boolean | undefined;
  /** With a local APIC and an IO-APIC, beside the 8259A pair. Default: true. */
  readonly apic?: boolean | undefined;
  /** What arrives at the serial port, in the order of time: the input log of an earlier run. */
  readonly input?: readonly InputByte[] | undefined;
  /** virtio-blk disks, in the order of their slots. What the guest writes stays in the machine. */
  readonly disks?: readonly DiskImage[] | undefined;
  /** What else there is on the PCI bus. */
  readonly extras?: readonly ExtraDevice[] | undefined;
};

type OutcomeBody =
  | { readonly kind: 'stage-reached' }
  /** What `untilText` waited for was printed or shown. */
  | { readonly kind: 'text-seen'; readonly text: string }
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] }
  /** The guest switched the machine off, through ACPI. */
  | { readonly kind: 'powered-off' }
  /** The guest ended the run through the debug-exit port; `code` is what QEMU would exit with, (value << 1) | 1. */
  | { readonly kind: 'debug-exit'; readonly value: number; readonly code: number }
  | { readonly kind: 'reset'; readonly source: ResetSource }
  /** HLT with interrupts off, or with nothing left that could interrupt. */
  | { readonly kind: 'halt'; readonly rip: bigint; readonly interruptsEnabled: boolean }
  | { readonly kind: 'hang'; readonly rip: bigint; readonly rule: string }
  | { readonly kind: 'panic'; readonly message: string }
  /** The guest touched more RAM than a run is given, whatever RAM the machine has, or swept through empty addresses. */
  | { readonly kind: 'memory-limit'; readonly rip: bigint }
  | { readonly kind: 'instruction-limit'; readonly rip: bigint };

export type Outcome = OutcomeBody & {
  /** The last stage reached. */
  readonly stage: Stage;
  readonly instructions: bigint;
  /** Guest time in ns. */
  readonly guestTime: bigint;
};

export type RunResult = {
  readonly outcome: Outcome;
  readonly stages: readonly StageReached[];
  readonly stateHash: string;
  readonly boot: Boot;
  readonly unimplemented: readonly Unimplemented[];
  readonly console: string;
  /** The rows of the text screen; none where nothing was ever written to it. */
  readonly screen: readonly string[];
};

const PANIC = 'Kernel panic - not syncing';
const LONGEST_MESSAGE = 4096;
const PANIC_END = '---[ end Kernel panic';
/** Instructions a panicking kernel gets to print its call trace. */
const PANIC_GRACE = 100_000_000n;

/** Where a restored run is loaded to: its memory comes from elsewhere. */
const NOWHERE: WritableMemory = { write: () => undefined };

export class BootRun {
  #config: RunConfig;
  readonly image: KernelImage;
  readonly machine: Machine;
  readonly boot: Boot;
  readonly stages: StageTracker;
  readonly #progress: ProgressWatch;
  #text: TextWatch | undefined;
  readonly #zeroRun: ZeroRun;
  #windowEnd = HANG_WINDOW;
  #zeros = false;
  #panicMessage: string | undefined;
  #panicDeadline: bigint | undefined;
  #outcome: Outcome | undefined;

  /**
   * Throws InputError where image, options and machine do not go together. Nothing has run yet.
   * @param load false leaves memory empty, for `restore` to be called when it is filled
   */
  constructor(config: RunConfig, image: KernelImage = parseImage(config.image), load = true) {
    const model = config.apic === false ? cpuModel(config.cpu) : withApic(cpuModel(config.cpu));
    checkOptions(config, model);
    this.#config = config;
    this.image = image;
    const testDevice = isMultibootEntry(config.entry, image);
    this.machine = new Machine({ ...machineConfig(config, model), testDevice });
    this.boot = bootImage({ ...config, ...linuxOptions(model) }, image, load ? this.machine.memory : NOWHERE);
    enter(this.machine, this.boot.state);
    this.stages = new StageTracker(this.machine, image, this.boot.loadAddress);
    this.#zeroRun = new ZeroRun(this.machine);
    this.machine.engine.code.onContext = (context) => {
      this.stages.codePage(context);
      if (!this.#zeroRun.codePage(context)) return;
      this.#zeros = true;
      this.machine.requestStop();
    };
    const { console } = this.machine;
    const watchStages = console.onByte;
    console.onByte = (byte) => {
      watchStages?.(byte);
      this.#text?.byte(byte);
    };
    this.stages.onLine = (line) => this.#consoleLine(line);
    this.stages.onStage = (stage) => this.#stageReached(stage);
    this.#progress = new ProgressWatch(this.machine, isProgram(config.entry, image));
    this.#watchText();
    if (load) this.stages.start();
  }

  /** `until` and `maxInstructions` are those of the latest `goOn`. */
  get config(): RunConfig {
    return this.#config;
  }

  /** May it go on: has the guest not ended the run, by itself or by what it did? */
  get canGoOn(): boolean {
    const kind = this.#outcome?.kind;
    return kind === undefined || kind === 'stage-reached' || kind === 'text-seen' || kind === 'instruction-limit';
  }

  /** Takes away the outcome of a run that can go on. Where it was cut does not show in what follows. */
  goOn(until: Goal, maxInstructions: bigint, untilText?: string): void {
    if (!this.canGoOn) throw new Error('a run that has ended cannot go on');
    this.#outcome = undefined;
    this.#config = { ...this.#config, until, maxInstructions, untilText };
    this.#watchText();
  }

  /** All that `restore` needs beside image, configuration and the contents of memory. Changes nothing. */
  save(): Plain {
    if (!this.canGoOn) throw new Error('a run that has ended cannot go on');
    return {
      machine: this.machine.save(),
      stages: this.stages.save(),
      progress: this.#progress.save(),
      zeroPages: this.#zeroRun.save(),
      windowEnd: this.#windowEnd,
      panicMessage: this.#panicMessage,
      panicDeadline: this.#panicDeadline,
    };
  }

  /** Takes a run that was made with `load` false to where another one was saved. Throws InputError. */
  restore(saved: Fields): void {
    this.machine.restore(saved.object('machine'));
    this.stages.restore(saved.object('stages'));
    this.#progress.restore(saved.object('progress'));
    this.#zeroRun.restore(saved, 'zeroPages');
    const { retired } = this.machine.engine;
    this.#windowEnd = saved.bigint('windowEnd', retired, retired + HANG_WINDOW);
    const isPanic = saved.has('panicMessage');
    this.#panicMessage = isPanic ? saved.text('panicMessage', LONGEST_MESSAGE) : undefined;
    this.#panicDeadline = isPanic ? saved.bigint('panicDeadline', 0n, retired + PANIC_GRACE) : undefined;
    this.#watchText();
  }

  #stageReached(stage: StageReached): void {
    if (stage.name === this.config.until) this.machine.requestStop();
  }

  /** The outcome, once there is one. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  /** Runs on for at most so many instructions; fewer where chips have moved much meanwhile. @returns the outcome once there is one */
  advance(instructions: bigint): Outcome | undefined {
    const { engine } = this.machine;
    const target = engine.retired + instructions;
    const most = this.machine.moved + MOST_MOVED;
    while (!this.#outcome && engine.retired < target && this.machine.moved <= most) this.#stretch(target);
    return this.#outcome;
  }

  #stretch(target: bigint): void {
    if (this.#goalReached()) return this.#end({ kind: 'stage-reached' });
    const { engine } = this.machine;
    if (engine.retired >= this.config.maxInstructions) return this.#atLimit();
    const ends = [
      target,
      this.#windowEnd,
      this.config.maxInstructions,
      ...(this.#text ? [(engine.retired / SCREEN_LOOK + 1n) * SCREEN_LOOK] : []),
      ...(this.#panicDeadline ? [this.#panicDeadline] : []),
    ];
    const until = ends.reduce((a, b) => (a < b ? a : b));
    const stop = this.machine.run(until);
    if (this.#goalReached()) return this.#end({ kind: 'stage-reached' });
    if (this.#textSeen()) return this.#end({ kind: 'text-seen', text: this.config.untilText ?? '' });
    if (stop?.kind === 'triple-fault') return this.#end({ kind: 'triple-fault', chain: stop.chain });
    if (this.#zeros) return this.#end({ kind: 'hang', rip: engine.state.rip, rule: ZEROS_RULE });
    if (stop?.kind === 'memory-full') return this.#end({ kind: 'memory-limit', rip: engine.state.rip });
    if (stop?.kind === 'debug-exit')
      return this.#end({ kind: 'debug-exit', value: stop.value, code: exitCode(stop.value) });
    if (stop?.kind === 'powered-off') return this.#end(this.#panic() ?? { kind: 'powered-off' });
    if (stop?.kind === 'reset') return this.#end(this.#panic() ?? { kind: 'reset', source: stop.source });
    if (stop?.kind === 'halt') return this.#end(this.#panic() ?? this.#halted());
    const panic = this.#panic();
    if (panic && engine.retired >= (this.#panicDeadline ?? 0n)) return this.#end(panic);
    if (engine.retired >= this.#windowEnd) this.#endWindow();
  }

  #goalReached(): boolean {
    const { until } = this.config;
    return until !== 'end' && this.stages.has(until);
  }

  #watchText(): void {
    const { untilText } = this.#config;
    this.#text = untilText === undefined ? undefined : new TextWatch(this.machine, untilText);
  }

  #textSeen(): boolean {
    if (this.#text && this.machine.engine.retired % SCREEN_LOOK === 0n) this.#text.look();
    return this.#text?.found ?? false;
  }

  #atLimit(): void {
    this.#end({ kind: 'instruction-limit', rip: this.machine.engine.state.rip });
  }

  #endWindow(): void {
    const rule = this.#progress.endWindow();
    this.#windowEnd += this.#progress.window;
    // Programs of user space may compute for as long as they like; they are left to --max-instructions.
    if (rule !== undefined && !this.stages.has('init')) {
      this.#end(this.#panic() ?? { kind: 'hang', rip: this.machine.engine.state.rip, rule });
    }
  }

  #halted(): OutcomeBody {
    const { state } = this.machine.engine;
    return { kind: 'halt', rip: state.rip, interruptsEnabled: (state.rflags & FLAGS.IF) !== 0 };
  }

  /** A panic ends the run where the kernel says it has said all, or a while after it began. */
  #consoleLine(line: string): void {
    const { retired } = this.machine.engine;
    const begins = line.indexOf(PANIC);
    if (this.#panicMessage === undefined && begins >= 0) {
      this.#panicMessage = line.slice(begins);
      this.#panicDeadline = retired + PANIC_GRACE;
      this.machine.requestStop();
    } else if (this.#panicMessage !== undefined && line.includes(PANIC_END)) {
      this.#panicDeadline = retired;
      this.machine.requestStop();
    }
  }

  #panic(): OutcomeBody | undefined {
    return this.#panicMessage === undefined ? undefined : { kind: 'panic', message: this.#panicMessage };
  }

  #end(body: OutcomeBody): void {
    this.#outcome = {
      ...body,
      stage: this.stages.current,
      instructions: this.machine.engine.retired,
      guestTime: this.machine.now,
    };
  }

  /** Everything there is to say once the outcome is known (our bug before). */
  result(): RunResult {
    if (!this.#outcome) throw new Error('the run has not ended');
    return {
      outcome: this.#outcome,
      stages: [...this.stages.reached],
      stateHash: this.machine.stateHash(),
      boot: this.boot,
      unimplemented: this.machine.unimplemented,
      console: this.machine.console.text,
      screen: this.machine.screen.changes > 0 ? this.machine.screen.rows() : [],
    };
  }
}

/** Of an outcome, what says whether it was the one wanted. */
export type Ending = Pick<Outcome, 'kind'> & { readonly stage?: Stage; readonly code?: number };

/** As isa-debug-exit has it, in 32 bits. */
const exitCode = (value: number): number => ((value << 1) | 1) >>> 0;

/**
 * Did the run come to where it was to stop? A guest that was to end it has done so by switching off, or by a reset from
 * user space; before that nobody has asked for a reset.
 */
export function endedAsAsked(outcome: Ending, until: Goal): boolean {
  if (outcome.kind === 'stage-reached' || outcome.kind === 'text-seen') return true;
  if (outcome.kind === 'debug-exit') return outcome.code === exitCode(0);
  if (until !== 'end') return false;
  return outcome.kind === 'powered-off' || (outcome.kind === 'reset' && outcome.stage === 'init');
}

/** Instructions run between two looks at the clock, where nobody watches. */
const WHOLE_SLICE = 1_000_000_000n;

/** Runs a boot to its outcome. */
export function runToEnd(run: BootRun): RunResult {
  while (!run.advance(WHOLE_SLICE));
  return run.result();
}

/** What the loader has to know of the processor. */
function linuxOptions(model: CpuModel): { gigabytePages: boolean; apic: boolean; processor: Processor } {
  const { eax, edx } = model.cpuid(1, 0, { cr4: 0n });
  const id = (BigInt(edx) << 32n) | BigInt(eax);
  return {
    gigabytePages: model.features.has('PDPE1GB'),
    apic: model.features.has('APIC'),
    processor: { id, vendor: model.vendor, name: model.brand },
  };
}

/** RAM above the device hole has to lie below the highest address the machine has. */
const MOST_MEMORY = at.PHYS_LIMIT - (HIGH_RAM_START - MMIO_HOLE_START);

function checkOptions(config: RunConfig, model: CpuModel): void {
  if (config.memoryBytes > MOST_MEMORY) {
    throw new InputError(`this machine can have ${MOST_MEMORY / GIB} GiB of memory at most`);
  }
  if (config.paging === 5 && !model.features.has('LA57')) {
    throw new InputError(`--paging 5 needs a CPU with la57, which '${model.name}' is not`);
  }
  checkDisks(config.disks ?? []);
}

function checkDisks(disks: readonly DiskImage[]): void {
  if (disks.length > MOST_DISKS) throw new InputError(`this machine can have ${MOST_DISKS} disks at most`);
  for (const { size } of disks) {
    if (size === 0 || size % SECTOR !== 0) {
      throw new InputError(`a disk consists of whole sectors of ${SECTOR} bytes; ${size} bytes do not`);
    }
  }
}

function machineConfig(config: RunConfig, model: CpuModel): ConstructorParameters<typeof Machine>[0] {
  const plain = config.plainRam ?? false;
  const ram = ramRanges(config.memoryBytes, plain).map(({ start, size }) => ({ start, end: start + size }));
  const rom = { start: 0xc0000, end: HIGH_MEMORY_START };
  const { seed, input, disks, extras } = config;
  return { model, ram, seed, input, disks, extras, ...(plain ? {} : { rom }) };
}

const SEGMENT_NAMES: readonly [keyof EntryState['segments'], SegmentIndex][] = [
  ['es', SEG.ES],
  ['cs', SEG.CS],
  ['ss', SEG.SS],
  ['ds', SEG.DS],
  ['fs', SEG.FS],
  ['gs', SEG.GS],
];
const REGISTERS: readonly RegisterName[] = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(
  ' ',
) as RegisterName[];

/** Puts the processor into the state that the boot protocol promises. */
function enter(machine: Machine, entry: EntryState): void {
  const { state } = machine.engine;
  REGISTERS.forEach((name, index) => {
    state.setReg(index, entry.registers[name] ?? 0n);
  });
  state.rip = entry.rip;
  state.rflags = Number(entry.rflags);
  state.setU64(at.CR0, entry.cr0);
  state.setU64(at.CR3, entry.cr3);
  state.setU64(at.CR4, entry.cr4);
  state.setU64(at.EFER, entry.efer);
  state.setTable(at.GDTR, { base: entry.gdtBase, limit: entry.gdtLimit });
  state.setTable(at.IDTR, { base: entry.idtBase, limit: entry.idtLimit });
  if (entry.tr) state.setSegment(SEG.TR, entry.tr);
  for (const [name, index] of SEGMENT_NAMES) state.setSegment(index, entry.segments[name]);
  state.cpl = 0;
  setMemoryTypes(state);
  machine.engine.modeChanged();
}
