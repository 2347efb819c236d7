// Puts an image into memory by the boot protocol that is asked for or usual for it, behind what firmware has left there.
// What protocols there are, and all that depends on them, is in their table (protocols/table.ts).
import { PAGE_SIZE, physAddr } from '../bits/address.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { type KernelImage, parseImage, stubOf } from '../image/image.ts';
import { firmwareTables } from './firmware.ts';
import { E820_RAM, endOf, HIGH_RAM_START, overlap, type Places } from './layout.ts';
import { PROTOCOLS } from './protocols/table.ts';
import type { Boot, BootProtocol, Entry, ImageOptions, Part, Placed, WritableMemory } from './protocol.ts';

/** All that `--entry` may say. */
export const entries = (): readonly Entry[] => PROTOCOLS.flatMap((protocol) => protocol.entries);

/** Reads an image as the protocol asked for does, or else by what the file says of itself. Throws InputError. */
export const readImage = (bytes: Uint8Array, entry?: Entry): KernelImage =>
  (entry === undefined ? undefined : protocolOfEntry(entry).read?.(bytes)) ?? parseImage(bytes);

/** The protocol by which an image is entered. @param entry as asked for, if it was. Throws InputError where there is none */
export function protocolOf(entry: Entry | undefined, image: KernelImage): BootProtocol {
  if (entry !== undefined) return protocolOfEntry(entry);
  const usual = PROTOCOLS.find((protocol) => protocol.isUsual(image));
  if (usual === undefined) throw new InputError('nothing says how this image is entered');
  return usual;
}

function protocolOfEntry(entry: Entry): BootProtocol {
  const protocol = PROTOCOLS.find((each) => each.entries.includes(entry));
  if (protocol === undefined) throw new InputError(`there is no entry '${entry}', only ${entries().join(', ')}`);
  return protocol;
}

/** How an image was entered, for reports. */
export const entryText = ({ protocol, entry }: Pick<Boot, 'protocol' | 'entry'>): string =>
  PROTOCOLS.find(({ name }) => name === protocol)?.entryText(entry) ?? protocol;

/** No kernel that will come to a first program. @param entry as asked for, if it was */
export const isProgram = (entry: Entry | undefined, image: KernelImage): boolean =>
  !protocolOf(entry, image).stages(image).isKernel;

/** Loads `image` into `memory`. Throws an InputError, memory untouched, where options, image and RAM do not go together. */
export function bootImage(options: ImageOptions, image: KernelImage, memory: WritableMemory): Boot {
  const protocol = protocolOf(options.entry, image);
  if (!protocol.accepts.includes(image.kind)) throw refusal(options.entry, protocol, image);
  const loadAt = options.places?.get('image') ?? options.loadAt;
  const { parts, ...plan } = protocol.plan({ ...options, loadAt }, image);
  const all = [...(protocol.firmware.includes('tables') ? firmwareTables(options) : []), ...parts];
  if (options.places) checkPlaces(options.places, all, plan);
  for (const { start, bytes } of all) if (bytes) memory.write(physAddr(start), bytes);
  return { ...plan, protocol: protocol.name, placement: all.map(placedOf).sort((a, b) => a.start - b.start) };
}

/** What was asked to be elsewhere: is it there, in RAM, and in nobody's way? */
function checkPlaces(places: Places, parts: readonly Part[], { e820, entry }: Pick<Boot, 'e820' | 'entry'>): void {
  for (const [name, address] of places) {
    const part = parts.find((one) => one.name === name);
    if (part?.start !== address) {
      throw new InputError(
        part === undefined
          ? `there is no ${name} to be put elsewhere`
          : `the ${name} cannot be put at ${hex(address)}: at a multiple of ${hex(PAGE_SIZE)} above 1 MiB, say`,
      );
    }
    const span = `the ${name} from ${hex(part.start)} to ${hex(endOf(part))}`;
    if (address % PAGE_SIZE !== 0) throw new InputError(`${span} does not begin with a page`);
    const isRam = e820.some((ram) => ram.type === E820_RAM && address >= ram.start && endOf(part) <= endOf(ram));
    if (!isRam) throw new InputError(`${span} lies in no RAM`);
    if (entry === 32 && endOf(part) > HIGH_RAM_START)
      throw new InputError(`${span} is out of reach of the 32-bit entry`);
    const other = parts.find((one) => one !== part && overlap(one, part));
    if (other !== undefined) throw new InputError(`${span} lies where the ${other.name} is`);
  }
}

const placedOf = ({ name, start, size }: Part): Placed => ({ name, start, size });

function refusal(entry: Entry | undefined, asked: BootProtocol, image: KernelImage): InputError {
  const usual = protocolOf(undefined, image);
  return typeof entry === 'number'
    ? new InputError(`this image has no entry of ${asked.title}; it is entered by ${usual.entries[0]}`)
    : new InputError(`${stubOf(image) ? 'a bzImage' : 'this image'} is entered by ${usual.title}, not by ${entry}`);
}
