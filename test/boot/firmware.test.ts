// What a guest finds of a PC's firmware before any boot protocol: a clock that ticks, at the vectors a BIOS has.
import { describe, expect, it } from 'vitest';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { chainLines } from '../../src/run/chain.ts';
import { makeElf } from '../image/synthetic.ts';
import { makeElf32, multibootHeader, pvhNote } from './programs.ts';

/** sti; hlt; cli; hlt */
const WAIT = [0xfb, 0xf4, 0xfa, 0xf4];
/** mov $value,%al; out %al,$port */
const outByte = (port: number, value: number): number[] => [0xb0, value, 0xe6, port];
/** The 8254's 65,536 clocks of 1,193,182 Hz, in ns. */
const TICK = 54_925_402n;

const pvh = (code: readonly number[]): Uint8Array =>
  makeElf32({ bytes: Uint8Array.from(code), notes: pvhNote(0x100000) });

const WAYS_IN: Record<string, (code: readonly number[]) => Uint8Array> = {
  '64-bit': (code) => {
    const entry = 0x1000000n;
    const segment = { physAddr: entry, virtAddr: entry, memSize: 0x1000n, bytes: Uint8Array.from(code) };
    return makeElf({ segments: [segment], entry });
  },
  Multiboot: (code) => {
    const header = multibootHeader(0);
    const bytes = Uint8Array.from([...header, ...code]);
    return makeElf32({ bytes, entry: 0x100000 + header.length });
  },
  PVH: pvh,
};

function run(image: Uint8Array, more: Partial<RunConfig> = {}) {
  const boot = new BootRun({
    image,
    cpu: 'max',
    memoryBytes: 64 << 20,
    cmdline: '',
    until: 'end',
    maxInstructions: 1000n,
    seed: 0,
    ...more,
  });
  return { ...runToEnd(boot), machine: boot.machine };
}

describe.each(Object.entries(WAYS_IN))('a guest entered by %s', (_, image) => {
  it('that enables interrupts without a table of its own gets IRQ 0 at vector 8, a tick after it began', () => {
    const { outcome, machine } = run(image(WAIT));
    expect(outcome).toMatchObject({ kind: 'triple-fault', chain: [{ vector: 8, interrupt: true }, {}, {}] });
    expect(machine.now - TICK).toBeLessThan(1000n);
    expect(machine.now).toBeGreaterThanOrEqual(TICK);
    const chain = outcome.kind === 'triple-fault' ? outcome.chain : [];
    const said = /^interrupt 8 \(IRQ 0: the 8259A is still at the BIOS's vectors\) at/;
    expect(chainLines(chain)[0]).toMatch(said);
  });

  it('waits for ever once it has masked all inputs', () => {
    const { outcome } = run(image([...outByte(0x21, 0xff), ...outByte(0xa1, 0xff), ...WAIT]));
    expect(outcome).toMatchObject({ kind: 'halt', interruptsEnabled: true });
  });

  it('gets the tick without a local APIC too', () => {
    expect(run(image(WAIT), { apic: false }).outcome).toMatchObject({
      chain: [{ vector: 8, interrupt: true }, {}, {}],
    });
  });
});

it('masks what this PC has no chip for', () => {
  // in $0x21,%al; mov %al,%bl; in $0xa1,%al; cli; hlt
  const { machine } = run(pvh([0xe4, 0x21, 0x88, 0xc3, 0xe4, 0xa1, 0xfa, 0xf4]));
  const { state } = machine.engine;
  expect([state.reg(3) & 0xffn, state.reg(0) & 0xffn]).toEqual([0xf8n, 0xcen]);
});
