// The machine itself made otherwise: features of the processor, where things are put, memory as no PC has it.

import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { PLACE_NAMES, type PlaceName } from '../../boot/layout.ts';
import { cpuModel, DEFAULT_MODEL } from '../../x86/models.ts';
import type { Kind } from './kind.ts';
import { oneOf, shown, smallNumberOf, split } from './text.ts';

export type CpuFeature = { readonly kind: 'cpu'; readonly feature: string; readonly on: boolean };
export type Placement = { readonly kind: 'place'; readonly name: PlaceName; readonly address: number };
export type PlainRam = { readonly kind: 'plain-ram' };

export const cpu: Kind<CpuFeature> = {
  form: '+FEATURE or -FEATURE',
  help: 'gives the processor a feature, or takes it away, as --cpu NAME,+FEATURE does',
  parse(text) {
    // What it is called is for the models to say; a comma would make two of one.
    if (!/^[+-][a-z0-9_.]{1,40}$/i.test(text)) throw new InputError(`'${shown(text)}' is not of the form ${this.form}`);
    cpuModel(`${DEFAULT_MODEL},${text}`);
    return { kind: 'cpu', feature: text.slice(1), on: text.startsWith('+') };
  },
  text: ({ feature, on }) => `${on ? '+' : '-'}${feature}`,
  before(what, to) {
    to.cpu = `${to.cpu},${this.text(what)}`;
  },
};

const MOST_ADDRESS = 2 ** 52 - 1;

export const place: Kind<Placement> = {
  form: 'NAME=ADDRESS',
  help: `puts something elsewhere: ${PLACE_NAMES.join(', ')}`,
  parse(text) {
    const [name, address] = split(text, '=', this.form);
    return { kind: 'place', name: oneOf(name, PLACE_NAMES), address: smallNumberOf(address, MOST_ADDRESS) };
  },
  text: ({ name, address }) => `${name}=${hex(address)}`,
  before({ name, address }, to) {
    to.places.set(name, address);
  },
};

export const plainRam: Kind<PlainRam> = {
  form: '',
  help: 'RAM everywhere, with no hole below 1 MiB, which no PC has',
  parse(text) {
    if (text !== '') throw new InputError(`nothing follows plain-ram, and not '${shown(text)}'`);
    return { kind: 'plain-ram' };
  },
  text: () => '',
  before(_, to) {
    to.plainRam = true;
  },
};
