// Has the whole state come again? The machine is deterministic: where registers, memory and chips are as they were, and
// nothing in between asked for the time, the same follows for ever. That is the proof of a hang.
// A look takes the processor's state as it stands (which may be anywhere in a loop) and steps on, a bounded way, for the
// same state to come again (search). Then it steps the same way once more (lap) and compares the memory that was written
// and the chips, and notes what could make the next time different: instructions and chips that tell the time or a random
// number, interrupts on. Where interrupts can come, it lets the guest run up to one, steps through its handler and back
// into the loop (ticks), until a state has come again behind one, and each timer that runs has come round between.

import type { Fields } from '../bits/fields.ts';
import { PAGE_SIZE } from '../bits/address.ts';
import type { Plain } from '../bits/plain.ts';
import { Mnemonic } from 'iced-x86';
import { isFault } from '../cpu/state/cpu.ts';
import * as at from '../cpu/state/layout.ts';
import { FLAGS } from '../cpu/state/state.ts';
import { localApicName } from '../devices/localApic.ts';
import { StateHash } from '../machine/hash.ts';
import type { Machine } from '../machine/machine.ts';
import { isProcessor, processorBytes } from './processorState.ts';

const PHASES = ['start', 'search', 'lap', 'wait', 'return'] as const;
type Phase = (typeof PHASES)[number];

const LOCAL_APICS = Array.from({ length: at.PROCESSORS }, (_, number) => localApicName(number));
/** Chips that keep time, or have lines from those that do: what is read of them may be another thing next time. */
const TELL_TIME = new Set(['pit8254', 'cmos', 'acpiPm', 'hpet', ...LOCAL_APICS, 'ioApic', 'pic8259']);
/** Of these, the ones that the handler of an interrupt writes to: the end of it. */
const CONTROLLERS = new Set([...LOCAL_APICS, 'ioApic', 'pic8259']);
/** What an instruction gives that may be another thing next time. MSRs hold times, among others. */
const OTHER_NEXT_TIME = new Set([
  ...[Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdmsr, Mnemonic.Wrmsr],
  ...[Mnemonic.Rdrand, Mnemonic.Rdseed, Mnemonic.Rdpmc],
]);

/** The clock's register B, and the bit that lets its alarm interrupt. */
const RTC_REG_B = 0x0b;
const REG_B_AIE = 0x20;

/** Steps from an interrupt's handler back into the loop. */
const LONGEST_HANDLER = 20_000;
/** Interrupts after which a state that has not come again is no longer waited for. */
const MOST_TICKS = 64;
const LONGEST_TEXT = 2 ** 16;

/** A state in the loop as it was behind an interrupt, or before the first. */
type Mark = {
  readonly contents: string;
  readonly now: bigint;
  /** When each timer that runs was to come next. */
  readonly events: readonly bigint[];
};

/** What a look has come to: it goes on, it has shown that the state repeats (in which way), or it shows nothing. */
export type Seen = 'going on' | 'nothing' | 'repeats' | 'repeats through interrupts';

export class RepeatLook {
  readonly #machine: Machine;
  /** Pages of host memory that were written since before the look. */
  readonly #pages: Set<number>;
  #start: Uint8Array = new Uint8Array();
  #phase: Phase = 'start';
  /** Steps that the phase may yet take. */
  #left: number;
  #period = 0;
  #contents = '';
  /** Something was met that may be another thing next time. */
  #open = false;
  #interruptible = false;
  #marks: Mark[] = [];
  /** Instruction pointers that were looked at; to look again shows nothing else. */
  readonly #known = new Set<bigint>();

  /** Where the machine stands, between two instructions. @param steps that it may take to find the state again */
  constructor(machine: Machine, steps: number, pages: Iterable<number> = []) {
    this.#machine = machine;
    this.#left = steps;
    this.#pages = new Set(pages);
    this.#take();
  }

  #take(): void {
    this.#start = processorBytes(this.#machine.engine.state, this.#machine.memory.bytes);
  }

  save(): Plain {
    return {
      pages: [...this.#pages],
      start: this.#start.slice(),
      phase: this.#phase,
      left: this.#left,
      period: this.#period,
      contents: this.#contents,
      open: this.#open,
      interruptible: this.#interruptible,
      marks: this.#marks.map(({ contents, now, events }) => ({ contents, now, events: [...events] })),
    };
  }

  /** Throws InputError. */
  static restore(machine: Machine, saved: Fields): RepeatLook {
    const pages = saved.numbers('pages', 2 ** 20, at.RAM_BASE / PAGE_SIZE, 2 ** 20 - 1);
    const look = new RepeatLook(machine, saved.number('left', 0, 2 ** 40), pages);
    const start = saved.bytes('start', look.#start.length);
    if (start.length !== look.#start.length) throw saved.wrong('start');
    look.#start.set(start);
    look.#phase = saved.choice('phase', PHASES);
    look.#period = saved.number('period', 0, 2 ** 40);
    look.#contents = saved.text('contents', LONGEST_TEXT);
    look.#open = saved.flag('open');
    look.#interruptible = saved.flag('interruptible');
    look.#marks = saved.objects('marks', MOST_TICKS + 1).map((mark) => ({
      contents: mark.text('contents', LONGEST_TEXT),
      now: mark.bigint('now', 0n, 1n << 63n),
      events: mark.list('events', 256).map((event) => {
        if (typeof event !== 'bigint') throw mark.wrong('events');
        return event;
      }),
    }));
    return look;
  }

  /** Is it to be told after each instruction? Else when an interrupt was taken. */
  get steps(): boolean {
    return this.#phase !== 'wait';
  }

  /** The pages that were written are about to be forgotten. */
  keepPages(pages: Iterable<number>): void {
    for (const page of pages) this.#pages.add(page);
  }

  /** What is met now is met each time round; where the loop is not one, it shows nothing whatever is met. */
  get #isInLoop(): boolean {
    return this.#phase === 'search' || this.#phase === 'lap' || this.#phase === 'return';
  }

  /** To be called before each instruction, while it steps. */
  before(): void {
    if (!this.#isInLoop) return;
    const { engine } = this.#machine;
    if (this.#phase !== 'search' && engine.state.rflags & FLAGS.IF) this.#interruptible = true;
    const { rip } = engine.state;
    if (this.#open || this.#known.has(rip)) return;
    this.#known.add(rip);
    const insn = engine.currentInstruction();
    // It will fault, which is looked at for what it does.
    if (isFault(insn)) return;
    if (OTHER_NEXT_TIME.has(insn.mnemonic)) this.#open = true;
    insn.free();
  }

  /** Told of each access to a chip while it steps. @param inputMayCome somebody may yet type */
  chip(name: string, write: boolean, inputMayCome: boolean): void {
    if (!this.#isInLoop) return;
    const handles = write && CONTROLLERS.has(name);
    if (TELL_TIME.has(name) && !handles) this.#open = true;
    // Whatever else speaks with the world outside is asked for what may come from there.
    if (inputMayCome || name.startsWith('virtio')) this.#open = true;
  }

  /** An interrupt was taken. */
  interrupt(): void {
    if (this.#phase !== 'wait') return;
    this.#phase = 'return';
    this.#left = LONGEST_HANDLER;
  }

  /** To be called after each instruction while it steps. */
  after(): Seen {
    this.#left--;
    switch (this.#phase) {
      case 'start':
        // Where a stop was asked for may be between an exception and its handler, where no step ends.
        this.#take();
        this.#phase = 'search';
        return 'going on';
      case 'search':
        return this.#search();
      case 'lap':
        return this.#left > 0 ? 'going on' : this.#lap();
      case 'return':
        return this.#returned();
      default:
        return 'going on';
    }
  }

  #isStart(): boolean {
    return isProcessor(this.#start, this.#machine.engine.state, this.#machine.memory.bytes);
  }

  #search(): Seen {
    if (this.#open) return 'nothing';
    this.#period++;
    if (!this.#isStart()) return this.#left > 0 ? 'going on' : 'nothing';
    this.#phase = 'lap';
    this.#left = this.#period;
    this.#contents = this.#contentsNow();
    return 'going on';
  }

  #lap(): Seen {
    if (this.#open || !this.#isStart() || this.#contentsNow() !== this.#contents) return 'nothing';
    const { nmiMayCome, nextEvents, interruptWaits } = this.#machine;
    if (nmiMayCome) return 'nothing';
    const quiet = nextEvents.every((event) => event === undefined) && !interruptWaits;
    if (!this.#interruptible || quiet) return 'repeats';
    if (this.#alarmSet()) return 'nothing';
    this.#marks = [this.#mark()];
    this.#phase = 'wait';
    return 'going on';
  }

  /** Does the clock's alarm wake somebody up, hours from now perhaps? It comes with none of the next events. */
  #alarmSet(): boolean {
    const ram = this.#machine.chips.find(({ name }) => name === 'cmos')?.state().ram;
    const register = Array.isArray(ram) ? (ram as readonly number[])[RTC_REG_B] : 0;
    return ((register ?? 0) & REG_B_AIE) !== 0;
  }

  #returned(): Seen {
    if (this.#open) return 'nothing';
    if (!this.#isStart()) return this.#left > 0 ? 'going on' : 'nothing';
    const mark = this.#mark();
    const round = (then: Mark): boolean =>
      then.contents === mark.contents && then.events.every((event) => event < mark.now);
    if (this.#marks.some(round)) return 'repeats through interrupts';
    if (this.#marks.length > MOST_TICKS) return 'nothing';
    this.#marks.push(mark);
    this.#phase = 'wait';
    return 'going on';
  }

  #mark(): Mark {
    const events = this.#machine.nextEvents.flatMap((event) => event ?? []);
    return { contents: this.#contentsNow(), now: this.#machine.now, events };
  }

  /** The pages written and what they hold, and the chips that keep no time. */
  #contentsNow(): string {
    const { engine, memory, chips } = this.#machine;
    this.keepPages(engine.pagesWith(at.PAGE_WRITTEN));
    const hash = new StateHash();
    for (const page of [...this.#pages].sort((a, b) => a - b)) {
      hash.word(page);
      hash.words(memory.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    }
    for (const chip of chips) if (!TELL_TIME.has(chip.name)) hash.text(JSON.stringify(chip.state()));
    return `${this.#pages.size} ${hash.digest()}`;
  }
}
