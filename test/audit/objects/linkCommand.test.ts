// Link commands and build logs. The logs are written after what `make V=1` of Linux prints.
import { describe, expect, it } from 'vitest';
import { auditLinkCommand, type LinkCommand } from '../../../src/audit/objects/audit.ts';
import { InputError } from '../../../src/bits/errors.ts';

const OUT = '-o arch/x86/boot/compressed/vmlinux';
const OBJECTS = 'arch/x86/boot/compressed/head_64.o arch/x86/boot/compressed/misc.o';
const GOOD = `ld -m elf_x86_64 -pie --no-dynamic-linker -T arch/x86/boot/compressed/vmlinux.lds ${OBJECTS} ${OUT}`;

const link = (text: string): LinkCommand => auditLinkCommand(text).link;
const state = (text: string, flag: string): string | undefined =>
  link(text).flags.find((entry) => entry.flag.startsWith(flag))?.state;

describe('auditLinkCommand of a command', () => {
  it('reads linker, output, inputs and -pie', () => {
    expect(link(GOOD)).toMatchObject({
      linker: 'bfd',
      assumed: true,
      output: 'arch/x86/boot/compressed/vmlinux',
      inputs: OBJECTS.split(' '),
      pie: true,
      relax: true,
      noRelocOverflow: false,
      line: 1,
    });
    expect(auditLinkCommand(GOOD).findings).toEqual([]);
  });

  it('says what the lost -pie means for the linker', () => {
    const { findings } = auditLinkCommand(GOOD.replace('-pie --no-dynamic-linker', '-flto'));
    expect(findings).toMatchObject([{ rule: 'link-flag-lost', severity: 'warning' }]);
    expect(findings[0]?.message).toBe(
      'The link of arch/x86/boot/compressed/vmlinux (line 1, ld, taken for GNU ld) has no -pie.',
    );
    expect(findings[0]?.decision).toContain('into `mov $address`');
    expect(findings[0]?.reason).toContain('Not there either: -z noreloc-overflow, --no-dynamic-linker.');
  });

  it.each([
    ['ld.lld-14', 'lld', false],
    ['/usr/bin/ld.gold', 'gold', false],
    ['x86_64-linux-gnu-ld.bfd', 'bfd', false],
    ['x86_64-linux-gnu-ld', 'bfd', true],
    ['mold', 'mold', false],
    ['ccache ld.lld', 'lld', false],
    ['LC_ALL=C nice -n 10 ld.lld', 'lld', false],
    ['[  12.345678] ld.lld', 'lld', false],
    ['2024-05-01T10:00:00.123Z ld.lld', 'lld', false],
    ['set -e; ld.lld', 'lld', false],
    ["set -e; echo '  LD      vmlinux'; ld.lld", 'lld', false],
    ['+ ld.lld', 'lld', false],
    ['gcc -fuse-ld=lld -nostdlib', 'lld', false],
    ['clang --ld-path=/opt/bin/ld.lld -nostdlib', 'lld', false],
    ['gcc -nostdlib', 'bfd', true],
  ])('knows the linker behind "%s"', (program, linker, assumed) => {
    expect(link(`${program} -pie ${OBJECTS} ${OUT}`)).toMatchObject({ linker, assumed, pie: true });
  });

  it.each([
    ['-pie', true],
    ['--pie', true],
    ['--pic-executable', true],
    ['-pie -no-pie', false],
    ['-no-pie -pie', true],
    ['', false],
  ])('takes the last word on "%s"', (flags, pie) => {
    expect(link(`ld.bfd ${flags} ${OBJECTS} ${OUT}`).pie).toBe(pie);
  });

  it.each([
    ['gcc -Wl,-pie,--no-dynamic-linker', true],
    ['gcc -Xlinker -pie -Xlinker --no-dynamic-linker', true],
    ['gcc -static-pie', true],
    ['gcc -pie', true],
    ['gcc -no-pie', false],
    ['gcc -static', false],
    ['gcc', 'unknown'],
  ])('reads what "%s" hands its linker', (driver, pie) => {
    expect(link(`${driver} ${OBJECTS} ${OUT}`).pie).toBe(pie);
  });

  it('reads -z in both spellings, and what turns it off', () => {
    expect(state(`ld -z noreloc-overflow ${OBJECTS}`, '-z noreloc')).toBe('present');
    expect(state(`ld -znoreloc-overflow ${OBJECTS}`, '-z noreloc')).toBe('present');
    expect(state(`ld -z text -z notext ${OBJECTS}`, '-z text')).toBe('turned-off');
    expect(state(`ld noreloc-overflow ${OBJECTS}`, '-z noreloc')).toBe('absent');
  });

  it('reads --no-relax', () => {
    expect(link(`ld.lld --no-relax ${OBJECTS}`).relax).toBe(false);
  });

  it('takes quotes, escapes and continued lines as a shell does', () => {
    const text = `ld -m 'elf_x86_64' "-pie" \\\n  -o "arch/x86/boot/compressed/vmlinux" a\\ b.o 'c"d.o'`;
    expect(link(text)).toMatchObject({ pie: true, inputs: ['a b.o', 'c"d.o'], line: 1 });
    expect(link(text).options.slice(0, 3)).toEqual(['-m', 'elf_x86_64', '-pie']);
  });
});

const COMPILE = 'gcc -Wp,-MMD,x.d -nostdinc -m64 -O2 -fno-pie -fPIE -mcmodel=small';
const LOG = `make -f ./scripts/Makefile.build obj=arch/x86/boot/compressed arch/x86/boot/compressed/vmlinux
  ${COMPILE} -include ./include/linux/hidden.h -c -o arch/x86/boot/compressed/misc.o arch/x86/boot/compressed/misc.c
  ${COMPILE} -fno-pie -c -o arch/x86/boot/compressed/head_64.o arch/x86/boot/compressed/head_64.S
  ld -m elf_x86_64 -r -o vmlinux.o built-in.a
  ld -m elf_x86_64 -z max-page-size=0x200000 -o vmlinux -T arch/x86/kernel/vmlinux.lds vmlinux.o
  ${GOOD}
  ld -m elf_x86_64 -T arch/x86/boot/compressed/vmlinux.lds ${OBJECTS} ${OUT}; true
  objcopy -O binary -R .note -R .comment -S arch/x86/boot/compressed/vmlinux arch/x86/boot/vmlinux.bin
`;

describe('auditLinkCommand of a build log', () => {
  it('finds the last link of the stub among other links', () => {
    expect(link(LOG)).toMatchObject({ line: 7, pie: false, earlierPie: 6 });
    expect(auditLinkCommand(LOG).findings[0]?.reason).toContain('An earlier link of it, on line 6, had -pie.');
  });

  it('counts compile flags over the objects of that link', () => {
    expect(link(LOG).flags.filter(({ flag }) => /^-f|^-Wa/.test(flag))).toMatchObject([
      {
        flag: '-fPIE',
        state: 'turned-off',
        detail: expect.stringContaining('turned off for arch/x86/boot/compressed/head_64.o'),
      },
      { flag: '-Wa,-mrelax-relocations=no', state: 'absent' },
      {
        flag: '-fvisibility=hidden (or hidden.h)',
        state: 'absent',
        detail: '1 of 2 objects whose compilation the text holds.',
      },
    ]);
  });

  it('refuses a log without a link, and one that links something else', () => {
    expect(() => auditLinkCommand('  CC  x.o\n  LD  vmlinux\n')).toThrow(/no link command: .* run with V=1/);
    const others = 'ld -o vmlinux a.o\nld -o vdso.so b.o\n';
    expect(() => auditLinkCommand(others)).toThrow(
      'the text holds no link of arch/x86/boot/compressed/vmlinux, but of vmlinux, vdso.so',
    );
    expect(() => auditLinkCommand('')).toThrow(InputError);
  });

  it.each([
    ['one long line', `ld ${'a '.repeat(4_000_000)}`],
    ['backslashes', `ld ${'\\'.repeat(4_000_000)}`],
    ['continued lines', 'ld a \\\n'.repeat(800_000)],
    ['quotes that are never closed', `ld "${"'".repeat(1_000_000)}\n`.repeat(4)],
    ['short commands', 'ld -pie -o x a.o\n'.repeat(200_000)],
  ])(
    'goes through %s once',
    (_, text) => {
      const found = [() => auditLinkCommand(`${text}\n${GOOD}`)].map((audit) => {
        try {
          return audit().link.pie;
        } catch (error) {
          return error instanceof InputError;
        }
      });
      expect(found).toEqual([true]);
    },
    10_000,
  );
});
