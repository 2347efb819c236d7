import { describe, expect, it } from 'vitest';
import type { Diagnosis, Evidence, Proof, ReferenceCause, ReferenceSuspicion } from '../../src/diagnose/types.ts';
import { type Line, rowsOf } from '../../src/bits/lines.ts';
import { endLines, firstLines, foundLines, quietLines } from '../../src/report/why.ts';
import { BOOTS, CAUSE, CULPRIT, DEATH, DIAGNOSIS, DIES, EVIDENCE, IMAGE, PROOF, PROOF_BOOT } from './diagnosis.ts';
import { CONFIG, outcomeOf, resultOf } from './result.ts';

/** As one line, so that wrapping does not matter. */
const flat = (lines: readonly Line[]): string => lines.map(({ text }) => text).join('\n');
const suspected = (others: ReferenceSuspicion['others'], proof: Proof): ReferenceSuspicion => ({
  class: CAUSE.class,
  instruction: CULPRIT,
  others,
  proof,
});
const found = (change: Partial<ReferenceCause> = {}, before = 0) =>
  flat(foundLines({ ...CAUSE, ...change }, before, IMAGE));
const halted = (lastWords: string): Evidence => ({
  ...EVIDENCE,
  outcome: outcomeOf({ kind: 'halt', rip: 0x9e001n, interruptsEnabled: false }),
  silent: false,
  lastWords,
});
const unexplained: Diagnosis = {
  ...DIAGNOSIS,
  causes: [],
  unexplained: EVIDENCE,
  last: resultOf({ kind: 'triple-fault', chain: [] }, { unimplemented: [{ what: 'port 0x1', count: 1 }] }),
};

describe('how it died', () => {
  it('has the first exception with vector, error code, RIP and CR2, and the chain to the reset', () => {
    const text = flat(firstLines(DEATH, CONFIG));
    expect(text).toContain('HOW IT DIED\nTriple fault, on which a PC resets, after 1,234,567 instructions');
    expect(text).toContain('last stage reached: decompress (in the boot stub, which had begun to unpack the kernel).');
    expect(text).toContain(
      'Fatal exception: vector 14, #PF (page fault), error code 0x2, RIP 0x9e000, CR2 0xdead000.\nFrom there to the reset:\n#PF(0x2) on',
    );
    expect(text).toMatch(/shutdown; a PC resets$/);
  });

  it('says that an exception has no error code', () => {
    expect(flat(firstLines(outcomeOf({ kind: 'triple-fault', chain: [{ vector: 6, rip: 1n }] }), CONFIG))).toContain(
      'vector 6, #UD (invalid opcode), no error code, RIP 0x1.',
    );
  });

  it.each([
    [{ kind: 'halt', rip: 0x9e043n, interruptsEnabled: false }, 'Halted for ever: HLT before 0x9e043'],
    [{ kind: 'hang', rip: 0x9e000n, rule: 'nothing moved' }, 'Hang at 0x9e000: nothing moved, after 1,234,567'],
    [{ kind: 'reset', source: 'cf9' }, 'The guest reset the machine through'],
  ] as const)('$kind', (ending, text) => {
    expect(flat(firstLines(outcomeOf(ending), CONFIG))).toContain(text);
  });

  it('is no death at the instruction limit', () => {
    const text = flat(firstLines(outcomeOf({ kind: 'instruction-limit', rip: 1n }), CONFIG));
    expect(text).toMatch(/^\nHOW FAR IT CAME\nInstruction limit reached, at 0x1/);
  });

  it('is nothing for a healthy boot', () => {
    expect(firstLines(BOOTS, CONFIG)).toEqual([]);
  });
});

describe('a cause', () => {
  it('comes after the bytes at the place of death, who wrote them, who went there, and the silence', () => {
    expect(found()).toMatch(
      /^At 0x9e000 stand the bytes 00 00, `add %al,\(%eax\)`, no code of the image\.\nThey were written by `rep movsb \(%rsi\),\(%rdi\)` at 0x1018516 \(link address 0x18516\)\. It copied them from 0x18040\.\nThe last of the stub's own instructions before that is `rep movsb \(%rsi\),\(%rdi\)` at 0x1018516 \(link address 0x18516\), which went to 0x9e000\.\nNothing had been printed\.\n\nCAUSE 1: /,
    );
  });

  it('names the culprit in every way it can be found by', () => {
    expect(found()).toContain(
      [
        'instruction     mov $0x18040,%rsi      # trampoline_32bit_src',
        'bytes           48 c7 c6 40 80 01 00',
        'in the file at  offset 0x1a280',
        'linked at       0x18280  paging_prepare+0x140',
        'ran at          0x1018280',
      ].join('\n'),
    );
  });

  it('needs no symbols', () => {
    const { symbol: _s, target: _t, ...instruction } = CULPRIT;
    const text = found({ instruction });
    expect(text).toContain('mov $0x18040,%rsi\nbytes');
    expect(text).toContain('So what is meant lies at 0x18040 + 0x1000000 = 0x1018040, in the loaded image.');
  });

  it('shows that the constant with the load bias lies in the image, and alone does not', () => {
    expect(found()).toContain(
      'So trampoline_32bit_src lies at 0x18040 + 0x1000000 = 0x1018040, in the loaded image. 0x18040 alone lies outside the image.',
    );
  });

  it('knows .bss, and that a stub may have moved itself', () => {
    const text = found({ instruction: { ...CULPRIT, constant: 0x19000n, bias: 0x3000000n } });
    expect(text).toContain('0x3000000 above its link address, where it had moved itself. So');
    expect(text).toContain("= 0x3019000, in the stub's .bss.");
    const moved = found({ instruction: { ...CULPRIT, bias: 0x3000000n } });
    expect(moved).toContain('= 0x3018040, in the image where it runs. 0x18040 alone lies outside the image.');
  });

  it('does not claim that the constant lies outside where it lies inside', () => {
    const text = found({ instruction: { ...CULPRIT, constant: 0x1000010n } });
    expect(text).toContain('0x1000010 alone is another place in the image as it was loaded: link address 0x10.');
    expect(text).not.toContain('outside');
  });

  it('is walked back to, from the death', () => {
    expect(found()).toContain(
      [
        'The walk back, from the death to the constant:',
        '0x9e000  add %al,(%eax)',
        'is where the boot ends',
        '0x1018516 (link address 0x18516)  rep movsb (%rsi),(%rdi)',
        'copies 0x100 bytes',
        '0x1018280 (paging_prepare+0x140)  mov $0x18040,%rsi',
        'makes that address, from the constant 0x18040 in its own bytes',
      ].join('\n'),
    );
  });

  it('is named once where it acts itself, and the end is named where nothing can be fetched', () => {
    const evidence = { ...EVIDENCE, at: undefined };
    const steps = [...CAUSE.steps.slice(0, 1), { what: 'compares it', instruction: CULPRIT }];
    const text = found({ steps, evidence });
    expect(text).toContain('The instruction there can be fetched no more.');
    expect(text).toContain(
      'constant:\n#PF(0x2) on address 0xdead000 at 0x9e000, where the boot ends\n0x1018280 (paging_prepare+0x140)  mov $0x18040,%rsi\nmakes that address, from the constant 0x18040 in its own bytes\ncompares it\n\n',
    );
  });

  it('says the same in a loop once', () => {
    const step = { what: 'copies 0x100 bytes', instruction: { ...CULPRIT, runtimeAddress: 1n } };
    expect(found({ steps: [...CAUSE.steps, step] }).split('copies 0x100 bytes')).toHaveLength(2);
  });

  it('has explanation and advice, a paragraph a line', () => {
    expect(found()).toContain(
      'Where it comes from:\nOne reason.\nAnother reason.\n\nWhat to do:\nLink it with -pie.\n',
    );
  });

  it('has the boots that prove it as a table', () => {
    expect(found()).toContain(
      [
        'as given  48 c7 c6 40 80 01 00  mov $0x18040,%rsi',
        'repaired  48 8d 35 b9 fd ff ff  lea -0x247(%rip),%rsi',
        '',
        'image        loaded at             entry   paging   CPU  result',
        'repaired     0x1000000             64-bit  4-level  max  passes, comes to decompress',
        'repaired     0x1000000             64-bit  5-level  max  passes, comes to decompress',
        'repaired     0x100000              32-bit  -        max  passes, comes to decompress',
        'wrong value  0x1000000             64-bit  4-level  max  fails: triple fault, after entry',
        'as given     0x1000000, plain RAM  64-bit  4-level  max  fails: triple fault, after entry',
        'as given     0x0, plain RAM        64-bit  4-level  max  passes, comes to decompress',
        '',
        'Repaired, it passes the point of death in all 3 boots, at 2 load addresses: proved.',
        'Negative control: with another wrong value in its place (`mov $0x19040,%rsi`) it dies as before, so the right one heals because it is right.',
        'Counter-check, in a machine with plain RAM, which no PC has, as given at its link address and elsewhere: there the fixed address is the right one, and as given the image passes. The load bias is the one difference between the two.',
      ].join('\n'),
    );
  });

  it('says where a wrong value heals as well', () => {
    const controls = PROOF.controls.map((control) => ({ ...control, boot: { ...control.boot, passed: true } }));
    expect(found({ proof: { ...PROOF, controls } })).toContain('so the right one may heal by chance.');
  });

  it('says where the unrepaired image dies where its address is right', () => {
    const counterCheck = { verdict: 'failed', by: 'bias-zero', withBias: DIES, without: DIES } as const;
    expect(found({ proof: { ...PROOF, counterCheck } })).toContain('and yet the image does not pass.');
  });

  it('says which memory is seen where the constant points', () => {
    const alias = { from: 0x10000, to: 0x1010000, size: 0x10000 };
    const counterCheck = { verdict: 'held', by: 'alias', withBias: DIES, without: { ...PROOF_BOOT, alias } } as const;
    const text = found({ proof: { ...PROOF, counterCheck } });
    expect(text).toContain('as given, in a machine whose memory from 0x10000 is that from 0x1010000,');
    expect(text).toContain('0x1000000, seen twice');
  });

  it('says why a counter-check was not made', () => {
    const counterCheck = { verdict: 'not-made', because: 'it is compared' } as const;
    expect(found({ proof: { ...PROOF, counterCheck } })).toContain('not made, because it is compared.');
  });

  it('says that a form without a position-independent twin was repaired for each address', () => {
    const repair = { bytes: Uint8Array.of(1), text: 'cmp    $0x101e000,%rax', everywhere: false };
    expect(found({ repair })).toContain('for each load address its own.');
    expect(found()).not.toContain('for each load address its own.');
  });

  it('names the instructions that had to be repaired together', () => {
    const text = found({ others: [{ instruction: CAUSE.instruction, repair: CAUSE.repair }] });
    expect(text).toContain(
      'It is not alone: one more instruction holds such an address. Both were rewritten together: what follows proves the set, not each of them.',
    );
    expect(text).toContain('Proof: the same boot with these 2 instructions rewritten in memory');
    expect(found()).not.toContain('not alone');
  });

  it('says how the others were repaired, as they were', () => {
    const own = { instruction: CAUSE.instruction, repair: CAUSE.repair };
    const fixed = { ...own, repair: { ...CAUSE.repair, everywhere: false } };
    expect(found({ others: [own, own] })).toContain('The others were made position-independent too');
    expect(found({ others: [fixed, own, fixed] })).toContain(
      'Of the others 1 were made position-independent, of the same target; in 2 the right address was put in',
    );
    const all = found({ repair: fixed.repair, others: [fixed] });
    expect(all).toContain('has the same length, so the right address was put in, for each load address its own.');
    expect(all).toContain('In the others the right address was put in');
  });

  it('makes a message about the end misleading', () => {
    const text = found({ evidence: halted('ZSTD-compressed data is corrupt -- System halted') });
    expect(text).toContain('Its last words: "ZSTD-compressed data is corrupt -- System halted". They mislead: ');
  });

  it('does not call the last words before an exception misleading', () => {
    const text = found({ evidence: { ...EVIDENCE, silent: false, lastWords: 'KASLR disabled' } });
    expect(text).toContain('Its last words: "KASLR disabled".\n');
  });

  it('tells of the death that it explains, after the first one', () => {
    expect(found({}, 1)).toMatch(/^\nWITH THAT REPAIRED, IT DIES AGAIN\nTriple fault[^]*CAUSE 2: POSITION/);
    expect(found({}, 2)).toMatch(/^\nWITH ALL OF THAT REPAIRED, IT DIES AGAIN\n/);
  });
});

describe('the end', () => {
  it('of a healthy image', () => {
    const text = flat(endLines({ ...DIAGNOSIS, first: resultOf({ kind: 'stage-reached' }), causes: [] }));
    expect(text).toMatch(
      /^\nIt boots as far as was asked for: reached decompress after 1,234,567 instructions \(.*\); what comes after was not run\. No finding\.$/,
    );
  });

  it('of an image whose repair boots', () => {
    expect(flat(endLines(DIAGNOSIS))).toMatch(
      /^\nTHE REPAIRED IMAGE BOOTS\nWith that one instruction rewritten in memory, and nothing else: reached decompress/,
    );
    expect(flat(endLines({ ...DIAGNOSIS, causes: [CAUSE, CAUSE] }))).toContain('With these 2 instructions rewritten');
  });

  it('marks a death without a cause as not explained, with the evidence and no cause', () => {
    const text = flat(endLines(unexplained));
    expect(text).toMatch(
      /^At 0x9e000 stand the bytes[^]*Nothing had been printed\.[^]*port 0x1\n\nNOT YET EXPLAINED\n/,
    );
    expect(text).not.toContain('CAUSE');
  });

  it('tells of the death of the repaired image where that is not explained', () => {
    expect(flat(endLines({ ...unexplained, causes: [CAUSE] }))).toMatch(
      /^\nWITH THAT REPAIRED, IT DIES AGAIN\nTriple fault[^]*NOT YET EXPLAINED/,
    );
  });

  it('does not call the instruction limit a death', () => {
    const evidence = { ...EVIDENCE, outcome: outcomeOf({ kind: 'instruction-limit', rip: 1n }) };
    const text = flat(endLines({ ...unexplained, unexplained: evidence }));
    expect(text).toContain('NO FINDING\nIt had not died when the instruction limit was reached');
    expect(text).not.toContain('EXPLAINED');
    expect(text).not.toContain('mislead');
  });

  const failing = { ...PROOF_BOOT, passed: false, outcome: 'halt' as const };
  const [control] = PROOF.controls;
  const healing = control && { ...control, boot: PROOF_BOOT };
  const failed = { verdict: 'failed', by: 'bias-zero', withBias: failing, without: failing } as const;

  it.each([
    [{ boots: [PROOF_BOOT, failing] }, 'Rewriting helped in some boots and not in others'],
    [{ controls: healing ? [healing] : [] }, 'Rewriting helped, but so did another wrong value'],
    [{ controls: [] }, 'Rewriting helped, but no other wrong value fits there'],
    [{ counterCheck: failed }, 'Rewriting helped, but as given the boot passes not even where the address is right'],
    [{ boots: [PROOF_BOOT] }, 'Rewriting helped, but at too few load addresses'],
  ])('has suspicions as suspicions, with what is in doubt (%#)', (change, doubt) => {
    const proof = { ...PROOF, held: false, ...change };
    const text = flat(endLines({ ...unexplained, suspicions: [suspected([], proof)] }));
    expect(text).toContain('SUSPICION, NOT PROVED\n`mov $0x18040,%rsi` at file offset 0x1a280 (paging_prepare+0x140)');
    expect(text).toContain(`holds an address of the stub as a fixed number. ${doubt}`);
    expect(text).toContain('so it is not called the cause:');
  });

  it('says what was left untried', () => {
    expect(flat(endLines({ ...unexplained, untried: 1 }))).toContain(
      'One more instruction that holds what may be an address was not tried',
    );
    expect(flat(endLines({ ...unexplained, untried: 7 }))).toContain('7 more instructions that hold');
    expect(flat(endLines({ ...unexplained, untried: 0 }))).not.toContain('not tried');
  });

  it('says how many a suspicion is about', () => {
    const other = { instruction: CULPRIT, repair: CAUSE.repair };
    const proof = { ...PROOF, held: false, boots: [PROOF_BOOT, failing] };
    const text = flat(endLines({ ...unexplained, suspicions: [suspected([other, other], proof)] }));
    expect(text).toContain('as a fixed number, and 2 more instructions do too. Rewriting');
    expect(text).toContain('so they are not called the cause:');
    expect(text).toContain('in 1 of 2 boots, at one load address: not proved.');
  });
});

describe('the report', () => {
  it('is at most 100 columns wide', () => {
    const lines = [...firstLines(DEATH, CONFIG), ...foundLines(CAUSE, 0, IMAGE), ...endLines(unexplained)];
    expect(Math.max(...lines.flatMap((line) => rowsOf(line)).map((row) => row.length))).toBeLessThanOrEqual(100);
  });
});

describe('--quiet', () => {
  it('is the outcome, a line for each cause, and what the repair leads to', () => {
    expect(quietLines(DIAGNOSIS)).toEqual([
      expect.stringMatching(/^triple fault: #PF/),
      'cause, proved: position-dependent-reference: mov $0x18040,%rsi at file offset 0x1a280 in paging_prepare+0x140, address of trampoline_32bit_src',
      expect.stringMatching(/^repaired: reached decompress/),
    ]);
  });

  it('says what is not explained and what is not proved', () => {
    const suspicions = [suspected([], { ...PROOF, held: false, boots: [] })];
    expect(quietLines({ ...unexplained, suspicions }).slice(1)).toEqual([
      expect.stringMatching(/^suspicion, not proved: mov/),
      'not yet explained',
    ]);
  });
});
