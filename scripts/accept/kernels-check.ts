// What Firstlight's own command line says of a kernel: each command run as a user would, with its verdict in a line.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Check {
  readonly what: string;
  readonly verdict: string;
  /** As it should be of a healthy kernel; a refusal is none, whatever its reason. */
  readonly good: boolean;
  readonly seconds: number;
  /** What was found, a line each. */
  readonly details: readonly string[];
}

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  /** The last line of stderr. */
  readonly said: string;
  readonly seconds: number;
}

const launcher = fileURLToPath(new URL('../../firstlight', import.meta.url));
/** A boot or a diagnosis that takes longer is given up. */
const LONGEST_MS = 30 * 60_000;
const MOST_OUTPUT = 1 << 28;
const SHOWN_DETAILS = 10;

function firstlight(args: readonly string[]): Ran {
  const started = performance.now();
  const { status, stdout, stderr } = spawnSync(launcher, args, {
    ...{ encoding: 'utf8', maxBuffer: MOST_OUTPUT, timeout: LONGEST_MS, killSignal: 'SIGKILL' },
  });
  const said = stderr.trimEnd().split('\n').at(-1) ?? '';
  return { status, stdout, said: said.replace(/^firstlight: /, ''), seconds: (performance.now() - started) / 1000 };
}

const refused = (what: string, { said, status, seconds }: Ran): Check => ({
  ...{ what, verdict: status === null ? 'given up' : `refused: ${said}`, good: false, seconds, details: [] },
});

interface AuditJson {
  readonly findings: readonly { readonly severity: string; readonly confidence: string; readonly message: string }[];
}

/** @param options besides the files */
export function checkAudit(what: string, files: readonly string[], options: readonly string[]): Check {
  const ran = firstlight(['audit', '--json', ...options, ...files]);
  if (ran.status !== 0 && ran.status !== 1) return refused(what, ran);
  const { findings } = JSON.parse(ran.stdout) as AuditJson;
  const all = findings.map(({ severity, confidence, message }) => `${severity}, ${confidence}: ${message}`);
  const more = all.length > SHOWN_DETAILS ? [`and ${all.length - SHOWN_DETAILS} more`] : [];
  return {
    ...{ what, verdict: `${all.length} findings`, good: all.length === 0, seconds: ran.seconds },
    details: [...all.slice(0, SHOWN_DETAILS), ...more],
  };
}

export function checkInfo(file: string): Check {
  const ran = firstlight(['info', '--json', file]);
  if (ran.status !== 0) return refused('info', ran);
  const { kind } = JSON.parse(ran.stdout) as { kind: string };
  return { what: 'info', verdict: kind, good: true, seconds: ran.seconds, details: [] };
}

interface BootJson {
  readonly outcome: { readonly kind: string; readonly stage: string; readonly text: string };
}

/** @param until the stage to come to, or undefined for the command's own default */
export function checkBoot(file: string, until: string | undefined, options: readonly string[] = []): Check {
  const what = until === undefined ? 'boot' : `boot to ${until}`;
  const goal = until === undefined ? [] : ['--until', until];
  const ran = firstlight(['boot', '--json', ...goal, ...options, file]);
  if (ran.stdout.trim() === '') return refused(what, ran);
  const { outcome } = JSON.parse(ran.stdout) as BootJson;
  const good = ran.status === 0;
  const verdict = good ? `reached ${outcome.stage}` : `${outcome.kind} at ${outcome.stage}`;
  return { what, verdict, good, seconds: ran.seconds, details: good ? [] : [outcome.text] };
}

interface WayJson {
  readonly causes?: readonly { readonly instruction?: { readonly text: string } }[];
  readonly suspicions?: readonly unknown[];
}

interface WhyJson extends WayJson {
  readonly entries?: readonly WayJson[];
  readonly first?: { readonly outcome?: { readonly kind: string; readonly stage: string; readonly text: string } };
  readonly outcome?: { readonly kind: string; readonly stage: string; readonly text: string };
}

/** With no option at all. */
export function checkWhy(file: string, options: readonly string[] = []): Check {
  const ran = firstlight(['why', '--json', ...options, file]);
  if (ran.stdout.trim() === '') return refused('why', ran);
  const { first, outcome = first?.outcome, entries = [], ...own } = JSON.parse(ran.stdout) as WhyJson;
  // By another entry it may die where it lives by the one that was asked for.
  const ways = [own, ...entries];
  const causes = ways.flatMap((way) => way.causes ?? []);
  const suspicions = ways.flatMap((way) => way.suspicions ?? []);
  const found =
    causes.length + suspicions.length === 0 ? '' : `, ${causes.length} causes, ${suspicions.length} suspicions`;
  const end = outcome === undefined ? `exit ${ran.status}` : `${outcome.kind} at ${outcome.stage}`;
  const details = causes.map((cause) => `cause: ${cause.instruction?.text ?? ''}`);
  return { what: 'why', verdict: `${end}${found}`, good: ran.status === 0, seconds: ran.seconds, details };
}

/** A row for each kernel as it is done; what was found below it. @param bad only those checks that are not good count */
export function printChecks(name: string, checks: readonly Check[]): void {
  const cells = checks.map(({ what, verdict, seconds }) => `${what}: ${verdict} (${seconds.toFixed(1)} s)`);
  console.log(`${name.padEnd(44)} ${cells.join('; ')}`);
  for (const { what, details } of checks) for (const detail of details) console.log(`    ${what}: ${detail}`);
}
