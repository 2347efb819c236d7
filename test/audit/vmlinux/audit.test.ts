import { describe, expect, it } from 'vitest';
import { auditVmlinux } from '../../../src/audit/vmlinux/audit.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { hexBytes } from '../../../src/bits/hex.ts';
import { randomOf } from '../../image/synthetic.ts';
import { at32, DATA, ENTER_MAPPING, LEA_RDI, LOAD_RAX_RDI, le32, MOV_RDI, makeKernel, TEXT } from './support.ts';

const audit = (parts: Parameters<typeof makeKernel>[0]) => auditVmlinux(makeKernel(parts));

describe('startup code that computes its addresses from RIP', () => {
  it('has no findings', () => {
    const report = audit({ code: [LEA_RDI(DATA - 7), LOAD_RAX_RDI, ENTER_MAPPING], abs32: [16] });
    expect(report.findings).toEqual([]);
    expect(report.coverage.followed[64]).toBe(3);
  });

  it('may name kernel addresses once CR3 is written', () => {
    const after = [...MOV_RDI(DATA), ...LOAD_RAX_RDI, 0xff, 0xe0];
    const report = audit({ code: [[0x0f, 0x22, 0xd8], after], abs32: [6] });
    expect(report.findings).toEqual([]);
    expect(report.coverage.constants).toBe(0);
  });

  it('may take a kernel address off another and add the load address, as fixup_pointer does', () => {
    // lea TEXT(%rip),%rdi; lea DATA(%rdi),%rax; sub $TEXT,%rax; mov %ecx,(%rax)
    const fixup = [
      [0x48, 0x8d, 0x87, ...at32(DATA)],
      [0x48, 0x2d, ...at32(0)],
      [0x89, 0x08],
    ];
    const report = audit({ code: [LEA_RDI(-7), ...fixup, ENTER_MAPPING], abs32: [10, 16, 26] });
    expect(report.findings).toEqual([]);
    expect(report.notes.map((n) => n.message)).toEqual([
      '1 kernel address in startup code is added to a register, from which a kernel address is then taken off (fixup_pointer of startup code in C).',
      '1 kernel address in startup code is subtracted from an address, which leaves a distance or an address in the 1:1 map.',
    ]);
  });

  it('may return from a function that writes CR3 and puts it back', () => {
    // call 1f; mov 0(%rdi),%rax; mapping; 1: mov %rax,%cr3; ret
    const code = [[0xe8, ...le32(3 + 12)], LOAD_RAX_RDI, ENTER_MAPPING, [0x0f, 0x22, 0xd8, 0xc3]];
    expect(audit({ code, abs32: [14] }).coverage.followed[64]).toBe(4);
  });
});

describe('a kernel address used before the mapping', () => {
  const sick = { code: [MOV_RDI(DATA), LOAD_RAX_RDI, ENTER_MAPPING], abs32: [3, 16] };

  it('is an error where memory is accessed there, though the table lists it', () => {
    const [finding, ...others] = audit(sick).findings;
    expect(others).toEqual([]);
    expect(finding).toMatchObject({
      rule: 'kernel-address-before-mapping',
      severity: 'error',
      confidence: 'high',
      message:
        "The instruction at 0xffffffff81000000 holds the kernel's virtual address 0xffffffff81002000, and memory is accessed there at 0xffffffff81000007 while only the 1:1 map exists.",
      linkAddress: TEXT,
      fileOffset: 64 + 56,
      text: 'mov    $0xffffffff81002000,%rdi',
      target: { linkAddress: TEXT + 0x2000n },
      relocation: 'R_X86_64_32S, by the appended table',
    });
    expect(hexBytes(finding?.bytes ?? new Uint8Array())).toBe('48 c7 c7 00 20 00 81');
  });

  it('has a repair as long as it is: the lea of the same address', () => {
    const [finding] = audit(sick).findings;
    expect(finding?.repair?.text).toBe('lea    0x1ff9(%rip),%rdi');
    expect(hexBytes(finding?.repair?.bytes ?? new Uint8Array())).toBe(hexBytes(Uint8Array.from(LEA_RDI(DATA - 7))));
  });

  it('says so where the table does not list it', () => {
    const [finding] = audit({ ...sick, abs32: [16] }).findings;
    expect(finding?.message).toMatch(/, and the relocation table does not list it\.$/);
    expect(finding?.relocation).toBeUndefined();
  });

  it('is an error that KASLR would leave behind, used or not', () => {
    const { findings } = audit({ code: [MOV_RDI(DATA), ENTER_MAPPING], abs32: [13] });
    expect(findings.map((f) => f.message)).toEqual([
      "The instruction at 0xffffffff81000000 holds the kernel's virtual address 0xffffffff81002000, and the relocation table does not list it: it goes stale when KASLR moves the kernel.",
    ]);
  });

  it('is no finding without a table and without a use', () => {
    expect(audit({ code: [MOV_RDI(DATA), ENTER_MAPPING] }).findings).toEqual([]);
  });

  it('is found in a function that is given it', () => {
    // mov $DATA,%rdi; call 1f; mapping; 1: mov (%rdi),%rax; ret
    const code = [MOV_RDI(DATA), [0xe8, ...le32(12)], ENTER_MAPPING, [...LOAD_RAX_RDI, 0xc3]];
    const { findings } = audit({ code, abs32: [3, 18] });
    expect(findings.map((f) => f.linkAddress)).toEqual([TEXT]);
  });

  it('is found in what a function returns', () => {
    // call 1f; mov (%rax),%rax; mapping; 1: mov $DATA,%rax; ret
    const function_ = [0x48, 0xc7, 0xc0, ...at32(DATA), 0xc3];
    const code = [[0xe8, ...le32(15)], [0x48, 0x8b, 0x00], ENTER_MAPPING, function_];
    expect(audit({ code, abs32: [14, 23] }).findings.map((f) => f.linkAddress)).toEqual([TEXT + 20n]);
  });

  it('is found in one of two ways that meet', () => {
    // lea DATA(%rip),%rdi; je 1f; mov $DATA,%rdi; 1: mov (%rdi),%rax
    const code = [LEA_RDI(DATA - 7), [0x74, 7], MOV_RDI(DATA), LOAD_RAX_RDI, ENTER_MAPPING];
    expect(audit({ code, abs32: [12, 25] }).findings.map((f) => f.linkAddress)).toEqual([TEXT + 9n]);
  });

  it.each([
    ['as absolute memory operand', [[0x8b, 0x04, 0x25, ...at32(DATA)]], 3, 0n],
    ['as table with an index', [[0x48, 0x8b, 0x04, 0xc5, ...at32(DATA)]], 4, 0n],
    ['as stack pointer', [[0x48, 0xc7, 0xc4, ...at32(DATA)]], 3, 0n],
    [
      'as target of a far return',
      [
        [0x6a, 0x10],
        [0x68, ...at32(0x40)],
        [0x48, 0xcb],
      ],
      3,
      2n,
    ],
    [
      'as target of a jump',
      [
        [0x48, 0xc7, 0xc0, ...at32(0x40)],
        [0xff, 0xe0],
      ],
      3,
      0n,
    ],
    [
      'through movabs',
      [
        [0x48, 0xb8, ...at32(DATA), 0xff, 0xff, 0xff, 0xff],
        [0x48, 0x8b, 0x00],
      ],
      2,
      0n,
    ],
    // mov $DATA,%rax; mov %rax,-8(%rsp); lgdt -10(%rsp)
    [
      'as base of the GDT',
      [
        [0x48, 0xc7, 0xc0, ...at32(DATA)],
        [0x48, 0x89, 0x44, 0x24, 0xf8],
        [0x0f, 0x01, 0x54, 0x24, 0xf6],
      ],
      3,
      0n,
    ],
    // mov $DATA,%rdi; rep stosq
    ['by a string instruction', [MOV_RDI(DATA), [0xf3, 0x48, 0xab]], 3, 0n],
  ] as const)('is an error %s', (_, code, field, instruction) => {
    const { findings } = audit({ code: [...code, ENTER_MAPPING], abs32: [field], abs64: [field] });
    const own = findings.filter((f) => f.linkAddress === TEXT + instruction);
    expect(own.map((f) => f.severity)).toEqual(['error']);
  });

  it('is a warning where it is compared with an address in the 1:1 map', () => {
    // lea DATA(%rip),%rdi; cmp $DATA,%rdi
    const code = [LEA_RDI(DATA - 7), [0x48, 0x81, 0xff, ...at32(DATA)], ENTER_MAPPING];
    const { findings } = audit({ code, abs32: [10, 20] });
    expect(findings.map((f) => [f.severity, f.linkAddress])).toEqual([['warning', TEXT + 7n]]);
  });

  it('is only a note where it comes from memory', () => {
    // jmp *DATA(%rip)
    const report = audit({ code: [[0xff, 0x25, ...le32(DATA - 6)]], abs64: [DATA], abs32: [], data: { [DATA]: TEXT } });
    expect(report.findings).toEqual([]);
    expect(report.notes[0]?.message).toBe(
      'The instruction at 0xffffffff81000000 takes the kernel address 0xffffffff81000000 from memory, and control goes there.',
    );
  });

  it('is named by symbols where the file has them', () => {
    const symbols = [
      { name: 'startup_64', address: TEXT, size: 0x40n },
      { name: 'init_stack', address: TEXT + 0x2000n, size: 8n, info: 0x11 },
    ];
    const [finding] = audit({ ...sick, symbols }).findings;
    expect(finding).toMatchObject({ place: 'startup_64', target: { symbol: 'init_stack' } });
  });
});

describe('the layout of a kernel', () => {
  const healthy = { code: [ENTER_MAPPING], abs32: [6] };
  const messages = (parts: Parameters<typeof makeKernel>[0]) => audit(parts).findings.map((f) => f.message);

  it('needs segments aligned to 2 MiB', () => {
    expect(messages({ ...healthy, align: 0x1000n })).toEqual([
      'Segment 0 has p_align 0x1000, which is no multiple of 2 MiB.',
    ]);
  });

  it('needs a relocation table that names places in the kernel', () => {
    expect(messages({ ...healthy, abs32: [6, 0x10000000] })).toEqual([
      'The relocation table names 0xffffffff91000000, which lies outside the kernel.',
    ]);
  });

  it('has no other thing behind the ELF file', () => {
    const bytes = makeKernel({ code: [ENTER_MAPPING] });
    const { findings } = auditVmlinux(Uint8Array.of(...bytes, 0, 0, 0, 0, 1));
    expect(findings.map((f) => f.message)).toEqual([
      `What follows the ELF file at 0x${bytes.length.toString(16)} is no relocation table of a kernel: 5 bytes are no whole number of 32-bit words.`,
    ]);
  });

  it('is ET_EXEC', () => {
    expect(audit({ ...healthy, type: 3 }).findings.map((f) => f.severity)).toEqual(['warning']);
  });

  it('lies in the kernel mapping, or it is no kernel', () => {
    const bytes = makeKernel(healthy);
    bytes.fill(0, 64 + 16, 64 + 24);
    expect(() => auditVmlinux(bytes)).toThrow(InputError);
  });
});

describe('mutilated kernels', () => {
  it('are audited, or refused with an InputError', () => {
    const bytes = makeKernel({ code: [MOV_RDI(DATA), LOAD_RAX_RDI, ENTER_MAPPING], abs32: [3, 16], symbols: [] });
    const random = randomOf(7);
    const outcomes = { audited: 0, refused: 0 };
    for (let i = 0; i < 1500; i++) {
      const copy = bytes.slice(0, random(10) === 0 ? random(bytes.length) : bytes.length);
      for (let n = 0; n <= random(4) && copy.length > 0; n++)
        copy[random(random(2) === 0 ? 160 : copy.length) % copy.length] = random(256);
      try {
        auditVmlinux(copy);
        outcomes.audited++;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        outcomes.refused++;
      }
    }
    expect(outcomes.audited).toBeGreaterThan(100);
    expect(outcomes.refused).toBeGreaterThan(100);
  });
});
