// `-cpu`: QEMU's models by the model here that comes nearest, and the changes that may follow their names.

import { InputError } from '../../bits/errors.ts';
import { CPU_MODELS, cpuModel } from '../../x86/models.ts';

/** Names and what follows them are QEMU's (`-cpu help`); versions and variants of a model are the model. */
const NAMED: readonly (readonly [RegExp, string])[] = [
  [/^(max|host)$/, 'max'],
  [/^(qemu64|kvm64)$/, 'x86-64-v1,+sse3,+cx16'],
  [/^(Conroe|core2duo)$/, 'x86-64-v1,+sse3,+ssse3,+cx16'],
  [/^Penryn$/, 'x86-64-v1,+sse3,+ssse3,+sse4.1,+cx16'],
  [/^(Nehalem|Westmere)$/, 'x86-64-v2'],
  [/^(SandyBridge|IvyBridge)$/, 'x86-64-v2,+avx'],
  [/^(Haswell|Broadwell|Skylake-(Client|Server)|Cascadelake-Server|Icelake-Server)$/, 'x86-64-v3'],
];
const VARIANT = /(-v\d+|-noTSX|-IBRS)+$/;
/** Without `-cpu`. */
export const DEFAULT_CPU = 'qemu64';
export const CPU_NAMES =
  'qemu64 kvm64 max host Conroe core2duo Penryn Nehalem Westmere SandyBridge IvyBridge Haswell Broadwell Skylake-Client Skylake-Server'.split(
    ' ',
  );

/** Features that QEMU knows and no model here has: asked for, they are warned of and left out, as QEMU's TCG does. */
const LACKING = new Set(
  `3dnow 3dnowext abm aes amx-bf16 amx-int8 amx-tile arch-capabilities avx512bw avx512cd avx512dq avx512f avx512ifma avx512vbmi
  avx512vl clwb clflushopt cldemote dca ds ds-cpl dtes64 est fdp-excptn-only flush-l1d fsrm fxsr-opt gfni hle ht ibpb ibs intel-pt invtsc
  kvmclock la57 mbm md-clear misalignsse mmxext monitor movdir64b movdiri mpx npt nrip-save osvw pbe pclmulqdq pcommit pconfig pdcm
  perfctr-core pks pku pmu rdpid rdpru rtm sha-ni skinit smx spec-ctrl ssbd sse4a stibp svm tbm tm tm2 topoext tsc-scale umip
  vaes vmx vpclmulqdq waitpkg wbnoinvd wdt x2apic xop xtpr`.split(/\s+/),
);

/** Properties that are no features, and the values with which they change nothing here. */
const PROPERTIES: Readonly<Record<string, RegExp>> = {
  check: /^(on|off)$/,
  migratable: /^(on|off|yes|no)$/,
  'host-phys-bits': /^(on|off)$/,
  'host-cache-info': /^(on|off)$/,
  'l3-cache': /^(on|off)$/,
  kvm: /^(on|off)$/,
  vendor: /^GenuineIntel$/,
  'phys-bits': /^40$/,
};

export type Cpu = { readonly name: string; readonly warnings: readonly string[] };

/** Throws InputError, worded as QEMU words it. @param text "max,+smep,-pcid,vendor=GenuineIntel" */
export function cpuOf(text: string): Cpu {
  const [given = '', ...changes] = text.split(',');
  let name = baseOf(given);
  const warnings: string[] = [];
  for (const change of changes) {
    const { property, value } = parts(change);
    if (PROPERTIES[property]?.test(value)) continue;
    const sign = { on: '+', off: '-' }[value];
    const changed = sign === undefined ? undefined : withFeature(name, `${sign}${property}`);
    if (changed !== undefined) name = changed;
    else if (sign === undefined || !LACKING.has(property)) throw unknownProperty(given, property, value);
    else if (sign === '+') warnings.push(`this machine's CPU does not have the requested feature: ${property}`);
  }
  return { name, warnings };
}

function baseOf(given: string): string {
  if (CPU_MODELS.some(({ name }) => name === given)) return given;
  const plain = given.replace(VARIANT, '');
  const found = NAMED.find(([pattern]) => pattern.test(plain));
  if (found === undefined) throw new InputError(`unable to find CPU model '${given}'`);
  return found[1];
}

/** "+x", "-x", "x=on", "x" and "x=value". */
function parts(change: string): { property: string; value: string } {
  if (/^[+-]/.test(change)) return { property: change.slice(1), value: change.startsWith('+') ? 'on' : 'off' };
  const [property = '', value = 'on'] = change.split('=');
  return { property, value };
}

/** Undefined where the feature is none that a model here could have. */
function withFeature(name: string, change: string): string | undefined {
  try {
    return cpuModel(`${name},${change}`).name;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

const unknownProperty = (model: string, property: string, value: string): InputError =>
  property in PROPERTIES
    ? new InputError(`${property}=${value} is nothing that this machine's CPU can be`)
    : new InputError(`Property '${model}-x86_64-cpu.${property}' not found`);
