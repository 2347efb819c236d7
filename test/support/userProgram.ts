// A program for a guest's user space, byte by byte: prints a line on its standard output and ends the machine. It needs
// no libraries and no instruction beyond the first x86-64 processors'.
import { cpioArchive, S_IFCHR, S_IFDIR, S_IFREG } from '../../src/boot/cpio.ts';
import { concat, makeElf } from '../image/synthetic.ts';

/** reboot(2)'s LINUX_REBOOT_CMD_POWER_OFF. */
export const POWER_OFF = 0x4321fedc;

const NR_WRITE = 1;
const NR_REBOOT = 169;
const MAGIC1 = 0xfee1dead;
const MAGIC2 = 672274793;
const SYSCALL = [0x0f, 0x05];
/** makeElf puts the bytes of a lone segment at this file offset; addresses agree with it modulo a page. */
const ENTRY = 0x400000n + 120n;

const dword = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** An ELF program: write(1, text), reboot(command). */
export function rebootingProgram(text: string, command: number): Uint8Array {
  const message = new TextEncoder().encode(text);
  const rest = [
    ...[0xba, ...dword(message.length)], // mov $length,%edx
    ...SYSCALL,
    ...[0xb8, ...dword(NR_REBOOT)], // mov $169,%eax
    ...[0xbf, ...dword(MAGIC1)], // mov $0xfee1dead,%edi
    ...[0xbe, ...dword(MAGIC2)], // mov $672274793,%esi
    ...[0xba, ...dword(command)], // mov $command,%edx
    ...SYSCALL,
    ...[0xeb, 0xfe], // jmp .
  ];
  const start = [
    ...[0xb8, ...dword(NR_WRITE)], // mov $1,%eax
    ...[0xbf, ...dword(1)], // mov $1,%edi
    ...[0x48, 0x8d, 0x35, ...dword(rest.length)], // lea message(%rip),%rsi
  ];
  const bytes = concat([Uint8Array.from([...start, ...rest]), message]);
  const segment = { physAddr: ENTRY, virtAddr: ENTRY, memSize: BigInt(bytes.length), bytes };
  return makeElf({ segments: [segment], entry: ENTRY });
}

/** An initramfs with this program as its /init. */
export const initramfsWith = (program: Uint8Array): Uint8Array =>
  cpioArchive([
    { path: 'dev', mode: S_IFDIR | 0o755 },
    { path: 'dev/console', mode: S_IFCHR | 0o600, device: { major: 5, minor: 1 } },
    { path: 'init', mode: S_IFREG | 0o755, data: program },
  ]);
