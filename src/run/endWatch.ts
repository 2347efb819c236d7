// Is this the end, although the guest goes on? Brings together what watches for it: windows of instructions (progress.ts),
// exceptions (faultWatch.ts), pages of zeros; and says when to look whether the whole state repeats (repeats.ts). All is
// decided by what the guest did, nothing by how a run is cut; a look costs far less than one in a hundred of what ran
// before it, because its steps grow with that.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { Observation } from '../cpu/interpret/observing.ts';
import type { Context } from '../cpu/state/codeContext.ts';
import type { Machine } from '../machine/machine.ts';
import { exceptionText, VECTOR } from '../x86/vectors.ts';
import { hex } from '../bits/hex.ts';
import { FaultWatch, MOST_FAULTS } from './faultWatch.ts';
import type { OutcomeBody } from './outcome.ts';
import { HANG_WINDOW, LONGEST_WAIT, ProgressWatch, ZeroRun, ZEROS_RULE } from './progress.ts';
import { RepeatLook, type Seen } from './repeats.ts';

/** Steps of a look behind one idle window; more behind more. */
const STEPS = 1024;
const MOST_STEPS = 2 ** 18;
/** Steps of a look where the guest does what costs far more than an instruction. */
const DEAR_STEPS = 16_384;
/** Accesses to ports, and interrupts, in a window in which nothing is printed: when it is looked at, and again. */
const MANY = { ports: 100_000, interrupts: 20_000 } as const;
const GROWTH = 4;

export const REPEATS_RULE =
  'registers, memory and chips came to be exactly as they were before, with nothing to come from outside: the same follows for ever';
export const TICKS_RULE =
  'registers and memory came to be exactly as they were before, and no interrupt that comes changes anything: the same follows for ever';

export class EndWatch {
  readonly #machine: Machine;
  readonly #awaitsChange: () => boolean;
  readonly #progress: ProgressWatch;
  readonly #faults: FaultWatch;
  readonly #zeroRun: ZeroRun;
  #windowEnd = HANG_WINDOW;
  #look: RepeatLook | undefined;
  /** In the window under way, and what was printed up to it. */
  #ports = 0;
  #interrupts = 0;
  #printed = 0;
  /** The lines of code taken, and the guest time, when accesses to ports, or interrupts, were last found to be many. */
  #lines = -1;
  #since = 0n;
  /** Steps of a look that is due. */
  #due = 0;
  /** What has been found. */
  #found: OutcomeBody | undefined;
  /** Somebody may type at any time. */
  awaitsInput = false;
  /** While a look steps. */
  #stepping: Observation | undefined;
  /** How far the machine was at the latest step of a look. */
  #stepped = 0n;

  /**
   * @param program the guest is no kernel
   * @param awaitsChange is the run to be changed at some count of instructions? Until then nothing follows for ever.
   */
  constructor(machine: Machine, program: boolean, awaitsChange: () => boolean = () => false) {
    this.#machine = machine;
    this.#awaitsChange = awaitsChange;
    this.#progress = new ProgressWatch(machine, program);
    this.#faults = new FaultWatch(machine);
    this.#zeroRun = new ZeroRun(machine);
    machine.observe({
      fault: (fault) => this.#fault(this.#faults.take(fault)),
      interrupt: () => this.#interrupt(),
      chip: (name, write) => this.#chip(name, write),
    });
  }

  save(): Plain {
    return {
      progress: this.#progress.save(),
      faults: this.#faults.save(),
      zeroPages: this.#zeroRun.save(),
      windowEnd: this.#windowEnd,
      look: this.#look?.save(),
      ports: this.#ports,
      interrupts: this.#interrupts,
      printed: this.#printed,
      lines: this.#lines,
      since: this.#since,
      due: this.#due,
      stepped: this.#stepped,
    };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    const { retired } = this.#machine.engine;
    this.#progress.restore(saved.object('progress'));
    this.#faults.restore(saved.object('faults'));
    this.#zeroRun.restore(saved, 'zeroPages');
    this.#windowEnd = saved.bigint('windowEnd', retired, retired + HANG_WINDOW);
    this.#found = undefined;
    this.#look = saved.has('look') ? RepeatLook.restore(this.#machine, saved.object('look')) : undefined;
    const number = (name: string): number => saved.number(name, 0, Number.MAX_SAFE_INTEGER);
    [this.#ports, this.#interrupts, this.#printed] = [number('ports'), number('interrupts'), number('printed')];
    [this.#lines, this.#due] = [saved.number('lines', -1, Number.MAX_SAFE_INTEGER), saved.number('due', 0, MOST_STEPS)];
    this.#since = saved.bigint('since', 0n, 1n << 63n);
    this.#stepped = saved.bigint('stepped', 0n, retired);
    this.#stepOn();
  }

  /** Takes a page of code that is about to run. */
  codePage(context: Context): void {
    if (this.#zeroRun.codePage(context)) this.#end(this.#hang(ZEROS_RULE));
  }

  /** Where the machine is to be left next, in instructions. */
  get nextStop(): bigint {
    return this.#windowEnd;
  }

  /** To be called when the machine was left, with nothing else to say. @returns the end, if it is one */
  after(): OutcomeBody | undefined {
    if (this.#due > 0) this.#begin();
    if (this.#machine.engine.retired >= this.#windowEnd) this.#endWindow();
    const found = this.#found;
    this.#found = undefined;
    return found;
  }

  /** Before each instruction of a look that steps. */
  #step(): void {
    const { retired } = this.#machine.engine;
    const look = this.#look;
    if (look?.steps && retired > this.#stepped) this.#looked(look.after());
    this.#stepped = retired;
    if (this.#look?.steps) {
      this.#look.before();
      // So that the look is told of a port's byte that the engine knows already.
      this.#machine.engine.portsChange();
    } else this.#stepOn();
  }

  #setLook(look: RepeatLook | undefined): void {
    this.#look = look;
    this.#stepped = this.#machine.engine.retired;
    this.#stepOn();
  }

  #stepOn(): void {
    if (this.#look?.steps) this.#stepping ??= this.#machine.observe({ step: () => this.#step() });
    else {
      this.#stepping?.dispose();
      this.#stepping = undefined;
    }
  }

  #hang(rule: string): OutcomeBody {
    return { kind: 'hang', rip: this.#machine.engine.state.rip, rule };
  }

  /** Something that is none of the guest has changed its state, or has counted what it does. */
  changed(): void {
    if (this.#look) this.#setLook(undefined);
  }

  #end(found: OutcomeBody): void {
    if (found.kind === 'hang' && this.#awaitsChange()) return;
    this.#found ??= found;
    this.#machine.requestStop();
  }

  #begin(): void {
    const steps = this.#due;
    this.#due = 0;
    if (this.#look === undefined) this.#setLook(new RepeatLook(this.#machine, steps));
  }

  #looked(seen: Seen): void {
    if (seen === 'going on') return;
    this.#look = undefined;
    if (seen === 'repeats through interrupts') this.#end(this.#hang(TICKS_RULE));
    if (seen === 'repeats') this.#end(this.#hang(this.#repeatsRule()));
  }

  /** With the exception that is delivered again and again, where there is one. */
  #repeatsRule(): string {
    return this.#faults.same < 1000 ? REPEATS_RULE : `${this.#faultText()}, again and again; ${REPEATS_RULE}`;
  }

  #faultText(): string {
    const { vector, error, address, rip } = this.#faults.fault;
    const name = exceptionText(vector, error < 0 ? undefined : error);
    return `${name}${vector === VECTOR.PF ? ` on address ${hex(address)}` : ''} at ${hex(rip)}`;
  }

  #endWindow(): void {
    const seen = this.#progress.endWindow();
    this.#look?.keepPages(this.#progress.written);
    this.#windowEnd += this.#progress.window;
    [this.#ports, this.#interrupts, this.#printed] = [0, 0, this.#output];
    this.#lines = -1;
    const { idle } = this.#progress;
    if (idle === 0) this.#setLook(undefined);
    // However long it was: first it is looked at once.
    if (seen !== undefined && idle > 1) this.#found ??= this.#noProgress(seen);
    else if (isPowerOfTwo(idle)) this.#due = Math.min(STEPS * idle, MOST_STEPS);
    if (this.#due > 0) this.#begin();
  }

  #noProgress(seen: string): OutcomeBody {
    this.#progress.forgive();
    return { kind: 'no-progress', rip: this.#machine.engine.state.rip, seen };
  }

  get #output(): number {
    return this.#machine.console.length + this.#machine.screen.changes;
  }

  /** Has a look taken at the next chance. */
  #lookAt(steps: number): void {
    if (this.#look || this.#output !== this.#printed) return;
    this.#due = steps;
    this.#machine.requestStop();
  }

  #fault(seen: ReturnType<FaultWatch['take']>): void {
    if (seen === 'look') this.#lookAt(DEAR_STEPS);
    if (seen === 'recursion') {
      this.#end(
        this.#hang(`${this.#faultText()}, which its handler meets again each time, with only the stack growing`),
      );
    }
    if (seen === 'no progress') {
      this.#end(this.#noProgress(`${MOST_FAULTS} times in a row ${this.#faultText()}, and nothing else`));
    }
  }

  #chip(name: string, write: boolean): void {
    if (this.#look?.steps) this.#look.chip(name, write, this.awaitsInput || this.#machine.inputToCome);
    this.#ports++;
    if (isStep(this.#ports, MANY.ports)) this.#waits();
  }

  #interrupt(): void {
    if (this.#look && !this.#look.steps) {
      this.#look.interrupt();
      this.#setLook(this.#look);
    }
    this.#interrupts++;
    if (isStep(this.#interrupts, MANY.interrupts)) this.#waits();
  }

  /** A guest that does little but wait is long in coming to the end of a window. */
  #waits(): void {
    this.#lookAt(DEAR_STEPS);
    const { now, engine } = this.#machine;
    const same = engine.code.lines === this.#lines && this.#output === this.#printed;
    const waited = now - this.#since;
    if (same && waited >= LONGEST_WAIT) {
      const seconds = waited / 1_000_000_000n;
      this.#end(this.#noProgress(`for ${seconds} s of guest time no new code was reached, and nothing was printed`));
    }
    if (!same) [this.#lines, this.#since] = [engine.code.lines, now];
  }
}

const isPowerOfTwo = (n: number): boolean => n > 0 && (n & (n - 1)) === 0;

/** Is that one of the counts, each so many times the one before? */
function isStep(count: number, first: number): boolean {
  if (count < first || count % first !== 0) return false;
  let step = first;
  while (step < count) step *= GROWTH;
  return step === count;
}
