// The result of a boot as the one object that `--json` prints; docs/json.md describes every field.
// Addresses and other 64-bit values are '0x...' strings, because JSON numbers lose bits above 2^53; counts are numbers.

import { exactCount, hex, hexBytes } from '../bits/hex.ts';
import { givenPart } from '../run/cmdline.ts';
import type { Boot } from '../boot/protocol.ts';
import type { Outcome, RunConfig, RunResult } from '../run/run.ts';
import { E820_RAM } from '../boot/layout.ts';
import type { Made } from '../run/interventions/interventions.ts';
import { interventionText } from '../run/interventions/table.ts';
import type { StageReached } from '../run/stages.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import { type KernelImage, stubOf } from '../image/image.ts';
import { type BzImage, protocolText } from '../image/bzimage.ts';
import { exceptionText } from '../x86/vectors.ts';
import { outcomeText, RESET_PORTS } from './outcome.ts';

export type JsonException = {
  readonly vector: number;
  /** "#GP", without the error code. */
  readonly name: string;
  readonly error: string | null;
  readonly cr2: string | null;
};
export type JsonLink = JsonException & {
  readonly rip: string;
  readonly reason: string | null;
  readonly met: JsonException | null;
};
export type JsonPoint = { readonly instructions: number; readonly guestTimeNs: number };
export type JsonStage = JsonPoint & { readonly name: string };
export type JsonOutcome = JsonPoint & {
  readonly kind: Outcome['kind'];
  readonly stage: string;
  readonly text: string;
  readonly chain?: readonly JsonLink[];
  readonly source?: string;
  readonly port?: string;
  readonly rip?: string;
  readonly interruptsEnabled?: boolean;
  readonly rule?: string;
  readonly seen?: string;
  readonly message?: string;
  readonly callTrace?: readonly string[];
  readonly wanted?: string;
  readonly value?: number;
  readonly code?: number;
};
export type JsonImage = {
  readonly kind: KernelImage['kind'];
  readonly origin: string | null;
  readonly bytes: number;
  readonly protocol: string | null;
  readonly version: string | null;
};
export type JsonMachine = {
  readonly image: JsonImage;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly bootProtocol: Boot['protocol'];
  readonly entry: 32 | 64;
  readonly paging: 4 | 5 | null;
  readonly loadAddress: string;
  readonly cmdline: string;
  readonly commandLine: { readonly given: string; readonly added: string; readonly whole: string };
  readonly initrdBytes: number | null;
  readonly modules: readonly { readonly bytes: number; readonly text: string; readonly added: string }[];
  readonly disks: readonly number[];
  readonly devices: readonly string[];
  readonly seed: number;
  readonly until: string;
  readonly maxInstructions: number;
  readonly e820: readonly { readonly start: string; readonly size: number; readonly type: 'ram' | 'reserved' }[];
  readonly placement: readonly { readonly name: string; readonly start: string; readonly size: number }[];
};
export type JsonCommand = {
  readonly command: string;
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
};
export type BootJson = {
  readonly outcome: JsonOutcome;
  readonly stages: readonly JsonStage[];
  readonly stateHash: string;
  readonly machine: JsonMachine;
  readonly unimplemented: readonly { readonly what: string; readonly device: string | null; readonly count: number }[];
  readonly console: string;
  readonly run: JsonCommand | null;
  readonly screen: readonly string[];
  /** Only where the run has some. */
  readonly interventions?: readonly JsonIntervention[];
};
export type JsonIntervention = {
  readonly text: string;
  readonly when: { readonly at: 'entry' | 'count' | 'address' };
  readonly what: { readonly kind: string };
  readonly madeAt: number | null;
  readonly refused: string | null;
};

/** The object for one boot, ready for JSON.stringify. */
export function bootJson(config: RunConfig, image: KernelImage, result: RunResult): BootJson {
  return {
    outcome: outcomeJson(result.outcome),
    stages: stagesJson(result.stages),
    stateHash: result.stateHash,
    machine: machineJson(config, image, result),
    unimplemented: result.unimplemented.map(({ what, device, count }) => ({ what, device: device ?? null, count })),
    console: result.console,
    run: result.command === undefined ? null : { ...result.command, status: result.command.status ?? null },
    screen: result.screen,
    ...(result.interventions?.length ? { interventions: result.interventions.map(interventionJson) } : {}),
  };
}

const interventionJson = ({ intervention, at, refused }: Made): JsonIntervention => ({
  text: interventionText(intervention),
  when: plainJson(intervention.when) as JsonIntervention['when'],
  what: plainJson(intervention.what) as JsonIntervention['what'],
  madeAt: at === undefined ? null : exactCount(at),
  refused: refused ?? null,
});

/** Addresses and values as '0x...', bytes as hexadecimal. */
function plainJson(value: unknown, name = ''): unknown {
  if (typeof value === 'bigint') return name === 'instructions' ? exactCount(value) : hex(value);
  if (value instanceof Uint8Array) return hexBytes(value);
  if (Array.isArray(value)) return value.map((one) => plainJson(one));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plainJson(one, key)]));
}

/** Guest time includes sleep, so it is not bounded by the instructions; above 104 days it is rounded. */
const pointJson = (point: Pick<StageReached, 'instructions' | 'guestTime'>): JsonPoint => ({
  instructions: exactCount(point.instructions),
  guestTimeNs: Number(point.guestTime),
});

export const stagesJson = (stages: readonly StageReached[]): JsonStage[] =>
  stages.map((stage) => ({ name: stage.name, ...pointJson(stage) }));

export function outcomeJson(outcome: Outcome): JsonOutcome {
  const { kind, stage } = outcome;
  return { kind, stage, ...pointJson(outcome), text: outcomeText(outcome), ...particulars(outcome) };
}

/** What only this kind of outcome has. */
function particulars(outcome: Outcome): Partial<JsonOutcome> {
  switch (outcome.kind) {
    case 'stage-reached':
    case 'powered-off':
      return {};
    case 'text-seen':
      return { wanted: outcome.text };
    case 'triple-fault':
      return { chain: outcome.chain.map(linkJson) };
    case 'debug-exit':
      return { value: outcome.value, code: outcome.code };
    case 'reset':
      if (outcome.source === 'init') return { source: outcome.source };
      return { source: outcome.source, port: hex(RESET_PORTS[outcome.source].port) };
    case 'halt':
      return { rip: hex(outcome.rip), interruptsEnabled: outcome.interruptsEnabled };
    case 'memory-limit':
    case 'instruction-limit':
      return { rip: hex(outcome.rip) };
    case 'hang':
      return { rip: hex(outcome.rip), rule: outcome.rule };
    case 'no-progress':
      return { rip: hex(outcome.rip), seen: outcome.seen };
    default:
      return { message: outcome.message, callTrace: outcome.callTrace };
  }
}

const exceptionJson = (event: { vector: number; error?: number; cr2?: bigint }): JsonException => ({
  vector: event.vector,
  name: exceptionText(event.vector),
  error: event.error === undefined ? null : hex(event.error),
  cr2: event.cr2 === undefined ? null : hex(event.cr2),
});

const linkJson = (link: FaultLink): JsonLink => ({
  ...exceptionJson(link),
  ...(link.interrupt ? { name: 'interrupt' } : {}),
  rip: hex(link.rip),
  reason: link.reason ?? null,
  met: link.met === undefined ? null : exceptionJson(link.met),
});

const headerJson = (header: BzImage | undefined): Pick<JsonImage, 'protocol' | 'version'> => ({
  protocol: header ? protocolText(header.protocol) : null,
  version: header?.version ?? null,
});

const imageJson = (image: KernelImage, origin: string | undefined): JsonImage => ({
  kind: image.kind,
  origin: origin ?? null,
  bytes: image.bytes.length,
  ...headerJson(stubOf(image)),
});

function machineJson(config: RunConfig, image: KernelImage, { boot }: RunResult): JsonMachine {
  return {
    image: imageJson(image, config.origin),
    cpu: config.cpu,
    memoryBytes: config.memoryBytes,
    bootProtocol: boot.protocol,
    entry: boot.entry,
    paging: boot.entry === 64 ? (config.paging ?? 4) : null,
    loadAddress: hex(boot.loadAddress),
    cmdline: config.cmdline,
    commandLine: { given: givenPart(config), added: config.cmdlineAdded ?? '', whole: config.cmdline },
    initrdBytes: config.initrd?.length ?? null,
    modules: (config.modules ?? []).map(({ bytes, text, added = '' }) => ({ bytes: bytes.length, text, added })),
    disks: (config.disks ?? []).map(({ size }) => size),
    devices: [...(config.extras ?? [])],
    seed: config.seed,
    until: config.until,
    maxInstructions: exactCount(config.maxInstructions),
    e820: boot.e820.map(({ start, size, type }) => ({
      start: hex(start),
      size,
      type: type === E820_RAM ? 'ram' : 'reserved',
    })),
    placement: boot.placement.map(({ name, start, size }) => ({ name, start: hex(start), size })),
  };
}
