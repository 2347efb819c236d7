// Every chip's state as a snapshot holds it, by the chip's name. What is read back fits the chip, or is refused.

import { InputError } from '../bits/errors.ts';
import { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { Device, DeviceState, TimedDevice } from '../devices/device.ts';

/** Chips in a machine: a few dozen. */
const MOST_CHIPS = 256;
const LONGEST_NAME = 256;

export const saveChips = (chips: readonly Device[]): Plain =>
  chips.map((chip) => ({ name: chip.name, state: chip.state() }));

/** Throws InputError where `saved` is not of exactly these chips. */
export function restoreChips(saved: Fields, chips: readonly Device[], timed: readonly TimedDevice[]): void {
  const states = new Map(
    saved.objects('chips', MOST_CHIPS).map((each) => [each.text('name', LONGEST_NAME), each.any('state')]),
  );
  if (states.size !== chips.length) throw new InputError('it is of a machine with other chips');
  for (const chip of chips) restoreChip(chip, states.get(chip.name));
  try {
    for (const chip of timed) chip.nextEvent();
  } catch {
    throw new InputError('the time of a chip cannot be right');
  }
}

function restoreChip(chip: Device, state: Plain): void {
  const wrong = (): InputError => new InputError(`the state of the chip ${chip.name} does not fit it`);
  if (!isState(state)) throw wrong();
  try {
    chip.restore(state);
    if (JSON.stringify(chip.state()) !== JSON.stringify(state)) throw wrong();
  } catch {
    throw wrong();
  }
}

/** Numbers are whole: no chip counts in others. */
function isState(value: Plain): value is DeviceState {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every(isValue);
}

function isValue(value: Plain): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value === 'boolean' || typeof value === 'string') return true;
  if (Array.isArray(value)) return value.every(isValue);
  return !(value instanceof Uint8Array) && isState(value);
}
