// One boot from a configuration to an outcome: build the PC, load the image, run, watch stages and progress. A run is a
// pure function of its configuration; the front end only decides how often it looks.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { VariantName } from '../cpu/binding/variants.ts';
import type { Observation } from '../cpu/interpret/observing.ts';
import { FLAGS } from '../cpu/state/state.ts';
import type { KernelImage } from '../image/image.ts';
import { commandStatus } from '../machine/command.ts';
import { Machine, type MachineObserver, type MachineStop, MOST_MOVED } from '../machine/machine.ts';
import type { Unimplemented } from '../machine/unimplemented.ts';
import { cpuModel, withApic } from '../x86/models.ts';
import { bootImage, protocolOf, readImage } from '../boot/boot.ts';
import { EndWatch } from './endWatch.ts';
import { OwnLog } from './ownLog.ts';
import { enter } from '../boot/enter.ts';
import type { Boot, StageRules, WritableMemory } from '../boot/protocol.ts';
import { exitCode, type Goal, type Outcome, type OutcomeBody } from './outcome.ts';
import { callTrace, PANIC } from './panic.ts';
import { checkEntry, checkOptions, linuxOptions, machineConfig, type RunConfig } from './runConfig.ts';
import type { Alias } from './interventions/alias.ts';
import { beforeRun, Interventions, type Made } from './interventions/interventions.ts';
import type { RelocatedField } from './interventions/relocate.ts';
import { BANNER, type StageObserver, type StageReached, StageTracker } from './stages.ts';
import { relocateCopies, relocateLoaded } from './relocateCopies.ts';
import { SCREEN_LOOK, TextWatch } from './textWatch.ts';

export { endedAsAsked, type Goal, type Outcome } from './outcome.ts';
export type { RunConfig } from './runConfig.ts';

export type CommandResult = {
  readonly command: string;
  /** As a shell says it, 0 to 255. */
  readonly status: number | undefined;
  /** One character for each byte. */
  readonly stdout: string;
  readonly stderr: string;
};

export type RunResult = {
  readonly outcome: Outcome;
  readonly stages: readonly StageReached[];
  readonly stateHash: string;
  readonly boot: Boot;
  readonly unimplemented: readonly Unimplemented[];
  readonly console: string;
  /** Where a command was run: what it wrote, and its status, undefined where it has not ended. */
  readonly command: CommandResult | undefined;
  /** The rows of the text screen; none where nothing was ever written to it. */
  readonly screen: readonly string[];
  /** What was changed, and when; none for most runs. */
  readonly interventions?: readonly Made[];
};

const LONGEST_MESSAGE = 4096;
const PANIC_END = '---[ end Kernel panic';
/** Instructions a panicking kernel gets to print its call trace. */
const PANIC_GRACE = 100_000_000n;

/** Ends of a run that are none of the guest. */
const GO_ON = new Set<Outcome['kind']>(['stage-reached', 'text-seen', 'instruction-limit', 'no-progress']);

/** What a kernel does when it has given up, and what a run of it comes to. */
const AFTER_PANIC = new Set<OutcomeBody['kind']>([
  ...(['halt', 'hang', 'no-progress', 'instruction-limit'] as const),
  ...(['reset', 'powered-off'] as const),
]);

const unheardPanic = (message: string): OutcomeBody => ({ kind: 'panic', message, callTrace: [] });

/** Where a restored run is loaded to: its memory comes from elsewhere. */
const NOWHERE: WritableMemory = { write: () => undefined };

/** What can be observed of a run. */
export type RunObserver = MachineObserver & StageObserver;

export class BootRun {
  #config: RunConfig;
  readonly image: KernelImage;
  readonly machine: Machine;
  readonly boot: Boot;
  /** What the boot protocol says of this image's stages. */
  readonly rules: StageRules;
  readonly stages: StageTracker;
  readonly #ends: EndWatch;
  readonly #ownLog: OwnLog;
  readonly #interventions: Interventions;
  readonly #aliases: readonly Alias[];
  #text: TextWatch | undefined;
  #panicMessage: string | undefined;
  #panicDeadline: bigint | undefined;
  #outcome: Outcome | undefined;

  /**
   * Throws InputError where image, options and machine do not go together. Nothing has run yet.
   * @param load false leaves memory empty, for `restore` to be called when it is filled
   * @param variant which engine; no part of the configuration, since nothing of a run hangs on it
   */
  constructor(
    config: RunConfig,
    image: KernelImage = readImage(config.image, config.entry),
    load = true,
    variant?: VariantName,
  ) {
    const given = beforeRun(config, image);
    const model = config.apic === false ? cpuModel(given.cpu) : withApic(cpuModel(given.cpu));
    checkOptions(config, model);
    this.#config = config;
    this.image = given.image;
    const protocol = protocolOf(config.entry, given.image);
    this.rules = protocol.stages(given.image);
    const testDevice = config.testDevice ?? protocol.testDevice;
    const { plainRam, places, aliases } = given;
    this.machine = new Machine({ ...machineConfig(config, model, plainRam), testDevice }, variant);
    this.#aliases = aliases;
    if (load) this.#alias();
    const options = { ...config, ...linuxOptions(model), plainRam, places: places.size > 0 ? places : undefined };
    this.boot = bootImage(options, given.image, load ? this.machine.memory : NOWHERE);
    checkEntry(this.boot, model);
    enter(this.machine, this.boot.state, protocol.firmware);
    this.stages = this.#trackStages(given.relocated, load);
    this.#ownLog = new OwnLog(this.machine);
    const changeWaits = (): boolean => this.#interventions.nextStop !== undefined;
    this.#ends = new EndWatch(this.machine, !this.rules.isKernel, changeWaits);
    this.observe({
      code: (context) => {
        this.stages.codePage(context);
        this.#ends.codePage(context);
      },
      byte: (byte, from) => this.#text?.byte(byte, from),
      line: (line) => this.#consoleLine(line),
      stage: (stage) => this.#stageReached(stage),
    });
    this.#watchText();
    this.#interventions = new Interventions(config.interventions ?? [], this, () => this.#ends.changed());
    if (!load) return;
    this.#interventions.enter();
    this.stages.start();
  }

  #alias(): void {
    for (const { from, to, size } of this.#aliases) this.machine.memory.alias(from, to, size);
  }

  #trackStages(fields: readonly RelocatedField[], load: boolean): StageTracker {
    const { machine } = this;
    const { loadAddress } = this.boot;
    const { stub } = this.rules;
    if (fields.length === 0 || stub === undefined) return new StageTracker(machine, stub, loadAddress);
    const loaded = relocateLoaded({ machine, image: stub, loadAddress }, fields, load);
    const stages = new StageTracker(machine, loaded, loadAddress);
    relocateCopies({ machine, image: loaded, loadAddress }, stages, fields);
    return stages;
  }

  /** `until` and `maxInstructions` are those of the latest `goOn`. */
  get config(): RunConfig {
    return this.#config;
  }

  /** What is changed in it, and what has come of that so far. */
  get interventions(): readonly Made[] {
    return this.#interventions.made;
  }

  /** As Machine.observe, of stages and lines too. */
  observe(observer: RunObserver, last = false): Observation {
    return this.machine.observe(observer, last).with(this.stages.observe(observer, last));
  }

  /** Somebody may type at any time: what waits for that is not at its end. */
  awaitInput(): void {
    this.#ends.awaitsInput = true;
  }

  /** May it go on: has the guest not ended the run, by itself or by what it did? */
  get canGoOn(): boolean {
    const kind = this.#outcome?.kind;
    return kind === undefined || GO_ON.has(kind);
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
      ends: this.#ends.save(),
      ownLog: this.#ownLog.save(),
      interventions: this.#interventions.save(),
      panicMessage: this.#panicMessage,
      panicDeadline: this.#panicDeadline,
    };
  }

  /**
   * Takes a run to where another one of the same configuration was saved, or it was itself; memory has its contents of then
   * already, and pages their flags. Throws InputError.
   */
  restore(saved: Fields): void {
    this.#alias();
    this.stages.beginRestore();
    this.#interventions.restore(saved.object('interventions'));
    this.machine.restore(saved.object('machine'));
    this.stages.restore(saved.object('stages'));
    this.#ends.restore(saved.object('ends'));
    this.#ownLog.restore(saved.object('ownLog'));
    const { retired } = this.machine.engine;
    const isPanic = saved.has('panicMessage');
    this.#panicMessage = isPanic ? saved.text('panicMessage', LONGEST_MESSAGE) : undefined;
    this.#panicDeadline = isPanic ? saved.bigint('panicDeadline', 0n, retired + PANIC_GRACE) : undefined;
    this.#outcome = undefined;
    this.#watchText();
  }

  #stageReached(stage: StageReached): void {
    if (stage.name === 'handoff') this.#ownLog.begin();
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
    if ((this.#interventions.nextStop ?? target) <= engine.retired) this.#interventions.due();
    const body = this.#ending(this.machine.run(this.#nextLook(target))) ?? this.#endless();
    if (body) this.#end(body);
  }

  /** What the guest comes to although it goes on. */
  #endless(): OutcomeBody | undefined {
    const unheard = this.#unheard();
    if (unheard) return unheard;
    const found = this.#ends.after();
    // Programs of user space may compute for as long as they like; they are left to --max-instructions.
    if (found?.kind === 'no-progress' && this.stages.has('init')) return undefined;
    return found && (this.#panic() ?? found);
  }

  /** What a kernel has come to that keeps what it says to itself. */
  #unheard(): OutcomeBody | undefined {
    const seen = this.#ownLog.after();
    if (seen?.banner) this.stages.saidUnheard();
    if (this.#goalReached()) return { kind: 'stage-reached' };
    // Programs may hold such a text too, in what they read.
    return seen?.panic === undefined || this.stages.has('init') ? undefined : unheardPanic(seen.panic);
  }

  /** Where the machine is to be left next. */
  #nextLook(target: bigint): bigint {
    const ends = [
      target,
      this.#ends.nextStop,
      this.#ownLog.nextStop ?? target,
      this.#interventions.nextStop ?? target,
      this.config.maxInstructions,
      ...(this.#text ? [(this.machine.engine.retired / SCREEN_LOOK + 1n) * SCREEN_LOOK] : []),
      ...(this.#panicDeadline ? [this.#panicDeadline] : []),
    ];
    return ends.reduce((a, b) => (a < b ? a : b));
  }

  /** What the run has come to, if it ends here. A kernel that panics may switch off, reset or halt when it has said so. */
  #ending(stop: MachineStop | undefined): OutcomeBody | undefined {
    const { retired, state } = this.machine.engine;
    if (this.#goalReached()) return { kind: 'stage-reached' };
    if (this.#textSeen()) return { kind: 'text-seen', text: this.config.untilText ?? '' };
    if (stop?.kind === 'triple-fault') return { kind: 'triple-fault', chain: stop.chain };
    switch (stop?.kind) {
      case 'memory-full':
        return { kind: 'memory-limit', rip: state.rip };
      case 'debug-exit':
        return { kind: 'debug-exit', value: stop.value, code: exitCode(stop.value) };
      case 'powered-off':
        return this.#panic() ?? { kind: 'powered-off' };
      case 'reset':
        return this.#panic() ?? { kind: 'reset', source: stop.source };
      case 'halt':
        return this.#panic() ?? this.#halted();
      default:
        return retired >= (this.#panicDeadline ?? 0n) ? this.#panic() : undefined;
    }
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

  #halted(): OutcomeBody {
    const { state } = this.machine.engine;
    return { kind: 'halt', rip: state.rip, interruptsEnabled: (state.rflags & FLAGS.IF) !== 0 };
  }

  /** A panic ends the run where the kernel says it has said all, or a while after it began. */
  #consoleLine(line: string): void {
    if (line.includes(BANNER)) this.#ownLog.stop();
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
    if (this.#panicMessage === undefined) return undefined;
    return { kind: 'panic', message: this.#panicMessage, callTrace: callTrace(this.machine.console.text) };
  }

  #end(body: OutcomeBody): void {
    this.#outcome = {
      ...this.#atLast(body),
      stage: this.stages.current,
      instructions: this.machine.engine.retired,
      guestTime: this.machine.now,
    };
  }

  /** Of a kernel that was not heard it is read at the end how far it came, and that it gave up. */
  #atLast(body: OutcomeBody): OutcomeBody {
    const seen = body.kind === 'stage-reached' ? undefined : this.#ownLog.atEnd();
    if (seen === undefined) return body;
    if (seen.banner) this.stages.saidUnheard();
    return seen.panic === undefined || !AFTER_PANIC.has(body.kind) ? body : unheardPanic(seen.panic);
  }

  #commandResult(): CommandResult | undefined {
    const { command: ports } = this.machine;
    const { command } = this.config;
    if (ports === undefined || command === undefined) return undefined;
    return { command, status: commandStatus(ports), stdout: ports.stdout.text, stderr: ports.stderr.text };
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
      command: this.#commandResult(),
      screen: this.machine.screen.changes > 0 ? this.machine.screen.rows() : [],
      interventions: this.#interventions.made,
    };
  }
}
