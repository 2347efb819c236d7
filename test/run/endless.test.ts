// Ends of guests that go on: what is a hang is shown to be one, and what only looks like one is left alone. Small guests,
// each of them 64-bit code at 16 MiB; stacks and tables lie above it.
import { describe, expect, it } from 'vitest';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { REPEATS_RULE, TICKS_RULE } from '../../src/run/endWatch.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import { makeElf } from '../image/synthetic.ts';

const ENTRY = 0x1000000n;
/** mov $0x604,%dx; mov $0x3400,%ax; out %ax,(%dx): to be powered off is to have got out. */
const POWER_OFF = '66ba040666b8003466ef';
/** .word 0xfff; .quad 0x1200000 */
const IDTR = 'ff0f0000200100000000';
const le32 = (value: number): string =>
  [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0')).join('');

/**
 * mov $0x1400000,%rsp; a gate in the IDT at 0x1200000 for the handler; lidt.
 * @param gate offset of the gate in the IDT @param handler, idtr where they are, counted from the end of these bytes
 */
const gateTo = (gate: number, handler: number, idtr: number): string => {
  const place = (offset: number): string => le32(gate + offset);
  return [
    `48c7c400004001bf00002001488d05${le32(handler + 40)}`, // mov, mov $0x1200000,%edi; lea handler(%rip),%rax
    `668987${place(0)}8c8f${place(2)}66c787${place(4)}008e`, // mov %ax; mov %cs; movw $0x8e00
    `48c1e810668987${place(6)}0f011d${le32(idtr)}`, // shr $16,%rax; mov %ax; lidt idtr(%rip)
  ].join('');
};
const size = (hex: string): number => hex.length / 2;

/** The 8259A pair at vectors 32 and on, all but IRQ 0 masked; the 8254 at some 1 kHz; sti. */
const TICKS = 'b011e620b020e621b004e621b001e621b0fee621b034e643b0a9e640b004e640fb';
/** push %rax; mov $0x20,%al; out %al,$0x20; pop %rax; iretq */
const TICK = '50b020e6205848cf';

function withTicks(loop: string, handler = TICK): string {
  const body = TICKS + loop;
  return gateTo(0x200, size(body), size(body) + size(handler)) + body + handler + IDTR;
}

const NOWHERE = '48bb00000000007f0000'; // movabs $0x7f0000000000,%rbx
const TOUCH = '488b03'; // mov (%rbx),%rax
function withFault(body: string, handler: string): string {
  return gateTo(0xe0, size(body), size(body) + size(handler)) + body + handler + IDTR;
}
/** add $8,%rsp; iretq */
const RETURN = '4883c40848cf';

/** mov $0x1300000,%edi: words of 8 bytes in 32 KiB, each read, masked and stored, over and over. */
const overPages = (turns: number): string =>
  `bd${le32(turns)}bf00003001b900100000488b074883e0bd4889074883c708ffc975eeffcd75e0`;

function boot(code: string, more: Partial<RunConfig> = {}): BootRun {
  const bytes = bytesOfHex(code);
  const image = makeElf({ segments: [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: 0x1000n, bytes }], entry: ENTRY });
  return new BootRun({
    ...{ image, cpu: 'max', memoryBytes: 64 << 20, cmdline: '', until: 'end', maxInstructions: 600_000_000n, seed: 0 },
    ...more,
  });
}

/** @param slice how the run is cut */
function ended(run: BootRun, slice = 1_000_000_000n) {
  while (!run.advance(slice));
  const { outcome, stateHash } = run.result();
  return { ...outcome, stateHash };
}

const INSTRUCTIONS = 200_000_000n;

describe('a hang', () => {
  it.each([
    ['jmp .', 'ebfe'],
    ['a loop that stores what it stored before', 'bf00003001b900020000f3abebf2'],
    ['a poll of the keyboard controller', 'e464a80274fa'], // in $0x64,%al; test $2,%al; jz
    ['a poll of the serial port, at which nobody types', '66bafd03eca80174fb'],
  ])('is %s', (_what, code) => {
    const { instructions, ...outcome } = ended(boot(code));
    expect(outcome).toMatchObject({ kind: 'hang', rule: REPEATS_RULE });
    expect(instructions).toBeLessThan(INSTRUCTIONS);
  });

  it('is a poll of a port where nothing answers, found soon', () => {
    const { instructions, ...outcome } = ended(boot('66baf701eca80175fb'));
    expect(outcome).toMatchObject({ kind: 'hang', rule: REPEATS_RULE });
    expect(instructions).toBeLessThan(1_000_000n);
  });

  it.each([
    ['jmp .', 'ebfe'],
    ['a loop of three', '9090ebfc'],
    ['HLT', 'f4ebfd'],
  ])('is %s, where the ticks change nothing', (_what, loop) => {
    expect(ended(boot(withTicks(loop)))).toMatchObject({ kind: 'hang', rule: TICKS_RULE });
  });

  it.each([
    ['not mapped', NOWHERE + TOUCH],
    // mov %cr3,%rbx; movabs $0x8000000000023,%rax; mov %rax,254*8(%rbx)
    ['reserved', `0f20db48b82300000000000800488983f0070000${NOWHERE}${TOUCH}`],
  ])('is a page fault whose handler mends nothing: %s', (_what, body) => {
    const { instructions, ...outcome } = ended(boot(withFault(body + POWER_OFF, RETURN)));
    expect(outcome).toMatchObject({
      kind: 'hang',
      rule: expect.stringMatching(/^#PF\(0x[09]\) on address 0x7f0000000000 /),
    });
    expect(instructions).toBeLessThan(100_000n);
  });

  it('is a page fault that its handler meets itself', () => {
    // A gate to 0x7f0000000000, where nothing is mapped.
    const setup = '48c7c400000002bf000020018c8fe200000066c787e4000000008ec787e8000000007f00000f011d0d000000';
    const outcome = ended(boot(setup + NOWHERE + TOUCH + IDTR));
    expect(outcome).toMatchObject({ kind: 'hang', rule: expect.stringContaining('its handler meets again each time') });
  });

  it('is found at the same place, however the run is cut, and saved while it is looked for', () => {
    const code = withTicks('9090ebfc');
    const whole = ended(boot(code));
    expect(ended(boot(code), 777_777n)).toEqual(whole);
    for (const before of [0n, 1n, 2n, 5n, 500_000n]) {
      const run = boot(code);
      run.advance(whole.instructions - before - 1n);
      const reader = new SnapshotReader({ until: 'end', maxInstructions: run.config.maxInstructions });
      for (const piece of snapshotOf(run)) reader.push(piece);
      expect(ended(reader.finish())).toEqual(whole);
      expect(ended(run)).toEqual(whole);
    }
  });
});

describe('no hang', () => {
  it.each([
    ['a loop over the same pages for hundreds of millions of instructions', overPages(16_500) + POWER_OFF],
    // rdtsc; mov %eax,%ebx; 1: rdtsc; sub %ebx,%eax; shr $30,%eax; jz 1b
    ['a wait for the time stamp counter', `0f3189c30f3129d8c1e81e74f7${POWER_OFF}`],
    // mov $0x0a,%al; out %al,$0x70; 1: in $0x71,%al; test %al,%al; jns 1b
    ['a wait for the clock', `b00ae670e47184c079fa${POWER_OFF}`],
    // 8254 channel 0 to mode 2, count 0xffff; OCW3: read IRR; 1: in $0x20,%al; test $1,%al; jz 1b, twice
    ['a wait for a request that is masked', `b034e643b0ffe640e640b00ae620e420a80174fa${POWER_OFF}`],
    // 1: in $0x64,%al; rdrand %eax; and $0x3ffff,%eax; cmp $1,%eax; sbb %eax,%eax; jz 1b
    ['a wait for a random number', `e4640fc7f025ffff030083f80119c074ef${POWER_OFF}`],
    // 1: hlt; cmpl $22000,0x1300000; jb 1b, with a tick that counts there
    [
      'a wait for the 22,000th tick',
      withTicks(`f4813c2500003001f055000072f2${POWER_OFF}`, '50b020e62058ff04250000300148cf'),
    ],
    // incl 0x1300000; cmpl $20000,0x1300000; jb 1f; mov $0x1300000,%ebx; 1: add $8,%rsp; iretq
    [
      'a page fault that is mended the 20,000th time',
      withFault(NOWHERE + TOUCH + POWER_OFF, 'ff042500003001813c2500003001204e00007205bb000030014883c40848cf'),
    ],
  ])('is %s', (_what, code) => {
    expect(ended(boot(code))).toMatchObject({ kind: 'powered-off' });
  });

  it('is a loop that counts in memory: nobody knows what for', () => {
    expect(ended(boot('ff042500003001ebf7', { maxInstructions: 160_000_000n }))).toMatchObject({
      kind: 'instruction-limit',
    });
  });

  it('is a poll of the serial port while somebody may type', () => {
    const run = boot('66bafd03eca80174fb', { maxInstructions: 75_000_000n });
    run.awaitInput();
    expect(ended(run)).toMatchObject({ kind: 'instruction-limit' });
  });

  it('is a poll of the serial port before what comes from there has come', () => {
    const code = `66bafd03eca80174fb${POWER_OFF}`;
    expect(ended(boot(code, { input: [{ at: 22_000_000_000n, byte: 65 }] }))).toMatchObject({ kind: 'powered-off' });
  });
});

describe('no progress', () => {
  it('is what is told where ticks go on and count, for long, and nothing comes of it', () => {
    const run = boot(withTicks('f4ebfd', '50b020e62058ff04250000300148cf'));
    expect(ended(run)).toMatchObject({ kind: 'no-progress', seen: expect.stringMatching(/^for \d+ s of guest time/) });
    // It may go on all the same.
    run.goOn('end', run.machine.engine.retired + 1000n);
    expect(ended(run)).toMatchObject({ kind: 'instruction-limit' });
  });
});
