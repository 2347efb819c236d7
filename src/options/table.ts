// Every option of every command, in the order of the help, and what those that were given make of a run.

import type { RunConfig } from '../run/runConfig.ts';
import { ONLY_BOOT_OPTIONS } from './boots.ts';
import { FILE_OPTIONS } from './looks.ts';
import { MACHINE_OPTIONS, WHY_SYMBOLS } from './machine.ts';
import { OUTPUT_OPTIONS } from './output.ts';
import { type Given, NOTHING_GIVEN, type OptionRow, type SettingRow } from './row.ts';

export const OPTIONS: readonly OptionRow[] = [
  ...MACHINE_OPTIONS,
  ...FILE_OPTIONS,
  ...OUTPUT_OPTIONS,
  ...ONLY_BOOT_OPTIONS,
  WHY_SYMBOLS,
];

/** What options alone say of a run: no files, and nothing that hangs on the image. */
export type Settings = Omit<
  RunConfig,
  'image' | 'until' | 'cmdline' | 'cmdlineAdded' | 'initrd' | 'modules' | 'disks'
> & {
  /** Undefined where it hangs on the image. */
  readonly until: RunConfig['until'] | undefined;
};

type Implied = NonNullable<OptionRow['implies']>;

/** The fields of RunConfig that the rows set. Throws UsageError. */
export function settingsOf(given: Given, rows: readonly OptionRow[] = OPTIONS): Settings {
  const implied: Implied = {};
  for (const row of rows) if (isGiven(row, given)) Object.assign(implied, row.implies);
  const settings: Record<string, unknown> = {};
  for (const row of rows) {
    if (row.field !== undefined && isPure(row))
      settings[row.field] = fieldOf(row, given) ?? implied[row.field as keyof Implied] ?? row.default;
  }
  // Each row's value has its field's type, and what a run cannot be without has a default.
  return settings as Settings;
}

const isGiven = ({ name }: OptionRow, { values, switches }: Given): boolean => values.has(name) || switches.has(name);

/** Does the text alone say what the field is? */
const isPure = ({ value, parse }: SettingRow): boolean => value === undefined || parse !== undefined;

/** Undefined where it was not given. */
function fieldOf(row: SettingRow, { values, all, switches }: Given): unknown {
  const { name } = row;
  if (row.value === undefined) return switches.has(name) ? row.given : undefined;
  if (row.repeats) return all.get(name)?.map((text) => row.parse?.(name, text));
  const text = values.get(name);
  return text === undefined ? undefined : row.parse?.(name, text);
}

/** A run of which nothing is said but what it boots, and how far. */
export const DEFAULTS = settingsOf(NOTHING_GIVEN);
