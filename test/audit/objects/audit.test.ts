// Findings about objects and archives, with the objects of the sample stubs as gcc and clang made them.
import { describe, expect, it } from 'vitest';
import { auditArchive, auditLinkCommand, auditObject, auditObjects } from '../../../src/audit/objects/audit.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { randomOf } from '../../image/synthetic.ts';
import { archiveBytes, objectBytes } from './matrix.ts';

const STUB_OBJECTS = ['head.o', 'data.o', 'trampoline.o', 'paging.o', 'unpack.o', 'lib.o'];
const trampolineStub = (set: string) => STUB_OBJECTS.map((name) => ({ name, bytes: objectBytes(set, name) }));
const linkOf = (text: string) => auditLinkCommand(text).link;
const STUB_LINK = `ld.bfd -m elf_x86_64 -T stub.lds -o arch/x86/boot/compressed/vmlinux ${STUB_OBJECTS.join(' ')}`;

describe('auditObject', () => {
  it('names the load that the lost -pie breaks, and the linker that does it', () => {
    const { findings, notes } = auditObject(objectBytes('gcc-trampoline', 'paging.o'), 'paging.o');
    expect(notes).toEqual([]);
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({
      rule: 'breaks-without-pie',
      severity: 'warning',
      text: 'mov    trampoline_32bit_src@GOTPCREL(%rip),%rsi',
      relocation: 'R_X86_64_REX_GOTPCRELX, trampoline_32bit_src-0x4',
    });
    expect(findings[0]?.message).toMatch(/without -pie GNU ld makes an absolute address of it\.$/);
    expect(findings[0]?.reason).toMatch(/As tried with GNU ld 2\.40\..* it is taken for defined in the output/);
  });

  it('gives the place of the instruction in the file', () => {
    const bytes = objectBytes('gcc-trampoline', 'paging.o');
    const [finding] = auditObject(bytes, 'paging.o').findings;
    const at = finding?.fileOffset ?? 0;
    expect(bytes.subarray(at, at + 7)).toEqual(Uint8Array.of(0x48, 0x8b, 0x35, 0, 0, 0, 0));
  });

  it('names two linkers for a compare', () => {
    const { findings } = auditObject(objectBytes('gcc-compare', 'settle.o'), 'settle.o');
    expect(findings.map(({ message }) => message)).toEqual([
      'settle.o, .text+0x28: `cmp early_pgtable@GOTPCREL(%rip),%rax` refers to early_pgtable through the GOT; without -pie GNU ld and lld make an absolute address of it.',
    ]);
  });

  it('finds nothing where the assembler left type R_X86_64_GOTPCREL', () => {
    expect(auditObject(objectBytes('gcc-no-relocx', 'paging.o'), 'paging.o').findings).toEqual([]);
  });

  it('finds nothing in a load of an absolute symbol or of a weak one that nobody defines', () => {
    for (const name of [
      'mov64.here-absolute.o',
      'mov64.nowhere-weak.o',
      'cmp64.here-absolute.o',
      'mov-32s.here-absolute.o',
    ])
      expect(auditObject(objectBytes('rows', name), name).findings).toEqual([]);
  });

  it('finds absolute references of code compiled without -fPIE', () => {
    const { findings } = auditObject(objectBytes('gcc-no-pie', 'unpack.o'), 'unpack.o');
    expect(new Set(findings.map(({ rule }) => rule))).toEqual(new Set(['position-dependent-reference']));
    expect(findings.map(({ text }) => text)).toContain('sub    $0,%r12');
  });

  it('finds pointers in data, less certain', () => {
    const { findings } = auditObject(objectBytes('rows', 'data-64.other-function.o'), 'x.o');
    expect(findings).toMatchObject([{ rule: 'position-dependent-pointer', severity: 'warning', confidence: 'medium' }]);
  });
});

describe('auditArchive', () => {
  it('names the member, and counts file offsets from the start of the archive', () => {
    const bytes = archiveBytes('gcc-trampoline');
    const { findings } = auditArchive(bytes, 'stub.a');
    expect(findings.map(({ place }) => place)).toEqual(['stub.a(paging.o), .text+0x143']);
    const at = findings[0]?.fileOffset ?? 0;
    expect(bytes.subarray(at, at + 3)).toEqual(Uint8Array.of(0x48, 0x8b, 0x35));
  });

  it('refuses an archive without objects', () => {
    expect(() =>
      auditArchive(
        Uint8Array.from('!<arch>\n', (c) => c.charCodeAt(0)),
        'e.a',
      ),
    ).toThrow('e.a holds no object files');
  });
});

describe('auditObjects', () => {
  it('finds the definition of a symbol in another object', () => {
    const inputs = ['mov64.other-absolute.o', 'definitions.o'].map((name) => ({
      name,
      bytes: objectBytes('rows', name),
    }));
    expect(auditObjects(inputs.slice(0, 1)).findings).toHaveLength(1);
    expect(auditObjects(inputs).findings).toEqual([]);
  });

  it('tells of mold that a slot needed elsewhere keeps every load of it', () => {
    const inputs = ['mov64.other-function.o', 'push.other-function.o'].map((name) => ({
      name,
      bytes: objectBytes('rows', name),
    }));
    const ofMov = (count: number) => auditObjects(inputs.slice(0, count)).predictions[0]?.results.mold.noPie;
    expect([ofMov(1), ofMov(2)]).toEqual(['pc-relative', 'got']);
  });

  it('makes an error of what the link given breaks, and says that -pie is lost', () => {
    const { findings } = auditObjects(trampolineStub('gcc-trampoline'), linkOf(STUB_LINK));
    expect(findings.map(({ rule, severity }) => [rule, severity])).toEqual([
      ['link-flag-lost', 'error'],
      ['breaks-without-pie', 'error'],
    ]);
  });

  it('has only notes where the link given has -pie', () => {
    const { findings, notes } = auditObjects(
      trampolineStub('gcc-trampoline'),
      linkOf(`${STUB_LINK} -pie --no-dynamic-linker`),
    );
    expect(findings).toEqual([]);
    expect(notes.map(({ message }) => message)).toContainEqual(
      'paging.o: One reference (trampoline_32bit_src) would become absolute in another link without -pie; this link has -pie.',
    );
  });

  it('has only notes where the linker given leaves every load relative', () => {
    const link = linkOf(STUB_LINK.replace('ld.bfd', 'ld.lld'));
    const { findings, notes } = auditObjects(trampolineStub('gcc-trampoline'), link);
    expect(findings).toEqual([]);
    expect(notes[0]?.message).toMatch(/has no -pie; of the objects given \(6\) none breaks by it\.$/);
  });

  it('does not say that none breaks where some are absolute whatever the link', () => {
    const inputs = [{ name: 'x.o', bytes: objectBytes('rows', 'mov-32s.other-function.o') }];
    const { findings, notes } = auditObjects(inputs, linkOf(STUB_LINK));
    const said = [...findings, ...notes].find(({ rule }) => rule === 'link-flag-lost');
    expect(said?.message).toMatch(/has no -pie, which lets 1 reference of the objects given pass that are absolute\.$/);
    expect(said?.severity).toBe('error');
  });

  it('finds the silent absolute address that -z noreloc-overflow lets through with -pie', () => {
    const inputs = [{ name: 'x.o', bytes: objectBytes('rows', 'mov-32s.other-function.o') }];
    const pie = 'ld.bfd -pie --no-dynamic-linker x.o';
    expect(auditObjects(inputs, linkOf(pie)).findings).toEqual([]);
    expect(auditObjects(inputs, linkOf(`${pie} -z noreloc-overflow`)).findings).toMatchObject([
      { rule: 'position-dependent-reference', severity: 'error' },
    ]);
  });
});

describe('mutilated objects', () => {
  const originals = [
    objectBytes('clang-compare', 'paging.o'),
    objectBytes('gcc-no-pie', 'head.o'),
    archiveBytes('gcc-compare'),
  ];

  it.each([...originals.keys()])('end in a clear error or a normal result (%i)', (which) => {
    const random = randomOf(which + 1);
    const ends = Array.from({ length: 150 }, () => endOf(mutilated(originals[which]!, random)));
    expect(ends.filter((end) => end !== 'audited' && end !== 'refused')).toEqual([]);
    expect(ends.filter((end) => end === 'refused').length).toBeGreaterThan(10);
    expect(ends.filter((end) => end === 'audited').length).toBeGreaterThan(10);
  });
});

function endOf(bytes: Uint8Array): string {
  try {
    return auditObjects([{ name: 'x', bytes }]).findings.length <= 1000 ? 'audited' : 'too many findings';
  } catch (error) {
    return error instanceof InputError && !error.message.includes('\n') ? 'refused' : String(error);
  }
}

/** Truncated, or with some bytes changed, most of them in the headers at either end. */
function mutilated(original: Uint8Array, pick: (below: number) => number): Uint8Array {
  if (pick(5) === 0) return original.slice(0, pick(original.length));
  const bytes = original.slice();
  for (let n = 1 + pick(8); n > 0; n--) {
    const end = pick(3);
    const at = end === 0 ? pick(64) : end === 1 ? bytes.length - 1 - pick(1000) : pick(bytes.length);
    bytes[at] = pick(256);
  }
  return bytes;
}
