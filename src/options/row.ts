// What an option is: a row of data that the help, the reading of a command line, a page and a script have in common. What a
// row says is the option's whole meaning, but for files, which only a front end can read.

import type { RunConfig } from '../run/runConfig.ts';

/** From the text of an option to its value. Throws UsageError, which names the option. */
export type Parse<T> = (option: string, text: string) => T;

type Common = {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for its value in the help; an option without is a switch. */
  readonly value?: string;
  /** Lines of at most 80 characters. */
  readonly help: readonly string[];
  /** Lines of those commands for which it is something else. */
  readonly helpFor?: Readonly<Record<string, readonly string[]>>;
  /** The commands that have it, by their names. */
  readonly commands: readonly string[];
  /** Its value begins with the name of a file: a part of the run, read as long as that goes; read once; or written. */
  readonly file?: 'part' | 'read' | 'written';
  /** May stand beside --restore: all else describes the machine, which is in the snapshot. */
  readonly besideRestore?: true;
  /** What it makes of fields that are not given themselves. */
  readonly implies?: Partial<Pick<RunConfig, 'until' | 'maxInstructions'>>;
};

type Item<T> = T extends readonly (infer I)[] ? I : T;

/** The option says what a field of the configuration of a run is. */
type Setting<F extends keyof RunConfig> = Common & {
  readonly field: F;
  /**
   * Of an option that may be given more than once, one of its values. Of what hangs on more than the text (a file, the
   * image) there is none: the front end makes it.
   */
  readonly parse?: Parse<Item<NonNullable<RunConfig[F]>>>;
  /** May be given more than once, and each counts; of any other the last. */
  readonly repeats?: true;
  /** What a switch says where it is given. */
  readonly given?: RunConfig[F];
  /** Undefined where it hangs on the image, or is nothing. */
  readonly default?: RunConfig[F];
};

/** One that is none of a run's. */
type Other = Common & {
  readonly field?: undefined;
  readonly parse?: Parse<unknown>;
  readonly default?: unknown;
};

/** What a command line has to know to read it and to explain it. */
export type NamedRow = Pick<Common, 'name' | 'value' | 'help'>;

export type SettingRow = { [F in keyof RunConfig]-?: Setting<F> }[keyof RunConfig];
export type OptionRow = SettingRow | Other;

/** The options that were given, as texts. */
export type Given = {
  /** Of an option given twice the last. */
  readonly values: ReadonlyMap<string, string>;
  /** Every value of an option that was given, in order, for those that may be given more than once. */
  readonly all: ReadonlyMap<string, readonly string[]>;
  readonly switches: ReadonlySet<string>;
  readonly operands: readonly string[];
};

export const NOTHING_GIVEN: Given = { values: new Map(), all: new Map(), switches: new Set(), operands: [] };

/** The rows of a command, in order, in its words. */
export const optionsOf = (command: string, rows: readonly OptionRow[]): readonly OptionRow[] =>
  rows
    .filter(({ commands }) => commands.includes(command))
    .map((row) => ({ ...row, help: row.helpFor?.[command] ?? row.help }));

/** The value of one option that is none of a run's. Throws UsageError. */
export function valueOf<T>({ values }: Given, row: { name: string; parse: Parse<T>; default: T }): T {
  const text = values.get(row.name);
  return text === undefined ? row.default : row.parse(row.name, text);
}
