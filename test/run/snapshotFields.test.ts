// Nothing that a run depends on may be missing in a snapshot. A snapshot holds what its classes give it; this list says of
// each field that can change what becomes of it, so that a new one is not overlooked.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BootRun } from '../../src/run/run.ts';
import { imageOf } from '../../src/devices/disk.ts';
import { restlessGuest } from './snapshotGuest.ts';

/** By file: fields that snapshots hold, and others, each with why it need not be held. */
type Fates = Readonly<Record<string, { readonly held: string; readonly others: Readonly<Record<string, string>> }>>;

const FATES: Fates = {
  'machine/machine.ts': {
    held: '#slept #leftEarly',
    others: {
      '#reset': 'ends the run',
      '#poweredOff': 'ends the run',
      '#debugExit': 'ends the run',
      '#stopRequested': 'false between two calls of run',
      '#moved': 'only how much work a call of run may be',
    },
  },
  'machine/random.ts': { held: 'state', others: {} },
  'machine/unimplemented.ts': { held: '#listed', others: { '#saidBefore': 'made when it is restored' } },
  'machine/console.ts': { held: '#head #tail #length', others: {} },
  'machine/input.ts': { held: '#replayed #log', others: {} },
  'machine/memoryBus.ts': {
    held: 'vga textChanges #emptyAccesses',
    others: { '#windows': 'wires' },
  },
  'machine/portBus.ts': { held: '', others: { '#claims': 'wires', '#windows': 'wires' } },
  'run/run.ts': {
    held: '#config #panicMessage #panicDeadline',
    others: { '#text': 'follows from #config and the console', '#outcome': 'none where it can go on' },
  },
  'run/endWatch.ts': {
    held: '#windowEnd #look #ports #interrupts #printed #lines #since #due #stepped',
    others: {
      '#found': 'ends the run',
      awaitsInput: 'whoever types says so',
      '#stepping': 'follows from #look',
    },
  },
  'run/repeats.ts': {
    held: '#start #phase #left #period #contents #open #interruptible #marks',
    others: { '#known': 'looking again shows the same' },
  },
  'run/faultWatch.ts': { held: '#vector #error #address #rip #same #kept', others: {} },
  'run/stages.ts': {
    held: 'reached copies destinations #line',
    others: {
      '#awaitingUser': 'follows from reached',
      relocatedBytes: 'follows from the configuration',
    },
  },
  'run/progress.ts': {
    held: '#pages #contents #lines #printed #idle #since #sinceRetired',
    others: { '#written': 'of the end of a window' },
  },
  'cpu/interpret/engine.ts': {
    held: '',
    others: {
      '#stop': 'of a call of run',
      '#repeated': 'of one step in a call of run',
      '#pendingCode': 'empty between two instructions',
      '#told': 'of probes, which a plain run has not',
      '#resume': 'of probes, which a plain run has not',
      '#running': 'of a call of run',
    },
  },
  'cpu/interpret/budget.ts': {
    held: 'retired charged',
    others: {
      since: 'of a call of run',
      '#until': 'of a call of run',
      '#deadline': 'of a call of run',
      '#limit': 'of a call of run',
    },
  },
  'cpu/interpret/fetch.ts': { held: '', others: { '#mode': 'follows from the state block' } },
  'cpu/interpret/decodedInstructions.ts': { held: '', others: { '#byRecord': 'decoding again shows nowhere' } },
  'cpu/decode/codeCache.ts': {
    held: 'lines #told',
    others: {
      '#contexts': 'decoding again shows nowhere',
      '#crossingFrom': 'decoding again shows nowhere',
      '#arena': 'decoding again shows nowhere',
      decoded: 'a measure of work',
      '#toldCount': 'follows from #told',
      '#byAddress': 'follows from #contexts',
      '#byHostPage': 'follows from #contexts',
      '#generation': 'compared with what was made of it only',
    },
  },
  'cpu/mmu/translations.ts': {
    held: '',
    others: { '#aligned': 'whether there is anything to clear', '#unnoticed': 'of checkpoints' },
  },
  'cpu/state/memory.ts': {
    held: '#next #touched',
    others: {
      '#u8': 'a view',
      '#view': 'a view',
      '#wires': 'wires',
      full: 'ends the run',
      '#aliases': 'follow from the configuration',
    },
  },
};

const source = (path: string): string =>
  readFileSync(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)), 'utf8');

/** The fields of a file's classes that can change: those not read-only, and collections. */
function fieldsOf(text: string): string[] {
  const classes = text.split('\n').filter(insideClass());
  return classes.flatMap((line) => {
    const [, fixed, name = '', rest = ''] = /^ {2}(readonly )?(#?\w+)((?:: | = ).*;)$/.exec(line) ?? [];
    const collects = /= new (?:Map|Set|Uint8Array)|\[\] = \[\]/.test(rest);
    return name === '' || (fixed && !collects) ? [] : [name];
  });
}

function insideClass(): (line: string) => boolean {
  let inside = false;
  return (line) => {
    if (/^(?:export )?(?:abstract )?class /.test(line)) inside = true;
    else if (line.startsWith('}')) inside = false;
    return inside;
  };
}

describe('the fields of what a run consists of', () => {
  it.each(Object.entries(FATES))('of %s are in a snapshot, or need not be', (path, { held, others }) => {
    const known = [...held.split(' ').filter((name) => name !== ''), ...Object.keys(others)];
    expect([...new Set(fieldsOf(source(path)))].sort()).toEqual(known.sort());
  });

  it('are found where they can change', () => {
    const text =
      'export class A {\n  #a = 1;\n  readonly #b = new Map();\n  readonly #c: B;\n  #d: X | undefined;\n}\nconst x = 1;\n';
    expect(fieldsOf(text)).toEqual(['#a', '#b', '#d']);
  });
});

describe('the chips', () => {
  const disks = [imageOf(new Uint8Array(4096)), imageOf(new Uint8Array(8192))];
  const { chips } = new BootRun(restlessGuest({ disks, extras: ['virtio-rng', 'virtio-console'] })).machine;

  it('have names of their own', () => {
    expect(new Set(chips.map(({ name }) => name)).size).toBe(chips.length);
    expect(chips.length).toBeGreaterThan(20);
  });

  it.each(chips.map((chip) => [chip.name, chip] as const))('%s takes back its state', (_name, chip) => {
    const state = chip.state();
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    chip.restore(state);
    expect(chip.state()).toEqual(state);
  });
});
