// Interventions: what is changed in a run, and when. Plain data of its configuration, so that a run with them is a pure
// function of that, as any other. Each kind is one file and one row here; `text` and `parse` are the one form in which they are
// written, in snapshots and in JSON.

import { InputError } from '../../bits/errors.ts';
import { type AliasedRam, alias } from './alias.ts';
import { type HeaderField, header, type ImageBytes, image } from './image.ts';
import type { Kind } from './kind.ts';
import { type CpuFeature, cpu, type Placement, type PlainRam, place, plainRam } from './machine.ts';
import { type Mapping, mapping } from './mapping.ts';
import { type Fill, fill, type MemoryBytes, memory } from './memory.ts';
import { bootParams, type ParamsField } from './params.ts';
import { type RegisterValue, register } from './register.ts';
import { type Relocated, relocate } from './relocate.ts';
import { numberOf, oneOf, type Place, placeOf, placeText, shown } from './text.ts';

export type What =
  | AliasedRam
  | CpuFeature
  | Fill
  | HeaderField
  | ImageBytes
  | Mapping
  | MemoryBytes
  | ParamsField
  | Placement
  | PlainRam
  | RegisterValue
  | Relocated;

export type WhatKind = What['kind'];

const KINDS: { readonly [K in WhatKind]: Kind<Extract<What, { readonly kind: K }>> } = {
  image,
  header,
  boot_params: bootParams,
  memory,
  fill,
  set: register,
  map: mapping,
  cpu,
  place,
  alias,
  'plain-ram': plainRam,
  relocate,
};

export const WHAT_KINDS = Object.keys(KINDS) as readonly WhatKind[];

/** The row of a kind. What it takes is what it made, or its own data. */
export const kindOf = (kind: WhatKind): Kind<What> => KINDS[kind] as Kind<What>;

export type When =
  /** When all is in place, before the first instruction. */
  | { readonly at: 'entry' }
  /** When so many instructions are retired. */
  | { readonly at: 'count'; readonly instructions: bigint }
  /** Before the instruction at an address is executed for the nth time, from 1 on. */
  | { readonly at: 'address'; readonly place: Place; readonly nth: number };

export type Intervention = { readonly when: When; readonly what: What };

/** In one run. */
export const MOST_INTERVENTIONS = 4096;
/** Characters of one: bytes in hexadecimal, and what stands before them. */
const LONGEST_TEXT = 2 ** 18;

const MOST_TIMES = 2 ** 40;
const MOST_COUNT = BigInt(Number.MAX_SAFE_INTEGER);
const FORM = '[at=ADDRESS[:N] or after=COUNT] KIND CHANGE';

/** Throws InputError, whose text is one line, for what is none. */
export function parseIntervention(text: string): Intervention {
  if (text.length > LONGEST_TEXT) throw new InputError('a change is too long');
  const words = text.trim().split(/\s+/);
  const [first = ''] = words;
  const when = whenOf(first);
  const [name = '', change = '', ...more] = when === undefined ? words : words.slice(1);
  if (name === '' || more.length > 0) throw new InputError(`'${shown(text)}' is not of the form ${FORM}`);
  const kind = kindOf(oneOf(name, WHAT_KINDS));
  const made = { when: when ?? ({ at: 'entry' } as const), what: kind.parse(change) };
  if ('before' in kind && made.when.at !== 'entry') {
    throw new InputError(`'${name}' is made before the first instruction only: leave ${shown(first)} away`);
  }
  return made;
}

/** Undefined for what does not say when. */
function whenOf(word: string): When | undefined {
  if (word.startsWith('after=')) return { at: 'count', instructions: numberOf(word.slice(6), MOST_COUNT) };
  const found = /^at=(?<place>.*?)(?::(?<nth>\d+))?$/.exec(word)?.groups;
  if (found === undefined) return undefined;
  const nth = numberOf(found.nth ?? '1', BigInt(MOST_TIMES));
  if (nth === 0n) throw new InputError('an address is reached for the first time at the earliest, and not for the 0th');
  return { at: 'address', place: placeOf(found.place as string), nth: Number(nth) };
}

/** The reverse of `parseIntervention`. */
export function interventionText({ when, what }: Intervention): string {
  const words = [whenText(when), what.kind, kindOf(what.kind).text(what)];
  return words.filter((word) => word !== '').join(' ');
}

function whenText(when: When): string {
  if (when.at === 'entry') return '';
  if (when.at === 'count') return `after=${when.instructions}`;
  return `at=${placeText(when.place)}:${when.nth}`;
}

/** At entry. */
export const entryOf = (what: What): Intervention => ({ when: { at: 'entry' }, what });
