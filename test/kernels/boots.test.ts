// Real kernels reach their banner: a few of the combinations of scripts/accept/matrix.ts, so chosen that each value of each
// option is seen. `npm run matrix` boots them all.
import { describe, expect, it } from 'vitest';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { GIB, MIB } from '../../src/bits/sizes.ts';
import { boot, CMDLINE, imageOf, wanted } from './support.ts';

const NO_KASLR = { cmdline: `${CMDLINE} nokaslr` };
const HIGH = { loadAt: 5 * GIB, memoryBytes: 6 * GIB };

/** The first word of the version in the setup header, as in "6.1.0-56-amd64 (debian-kernel@...) #1 SMP ...". */
const versionOf = (image: Uint8Array): string => parseBzImage(image).version?.split(' ')[0] ?? 'no version';

describe('a Debian kernel reaches its banner', () => {
  it.for([
    ['debian-6.12-cloud', 'by default: 64-bit entry, KASLR on', {}],
    ['debian-6.12-cloud', 'by the 32-bit entry, at 1 MiB, KASLR on', { entry: 32, loadAt: MIB }],
    ['debian-6.12-cloud', 'above 4 GiB, entered with 5-level paging', { paging: 5, ...HIGH, ...NO_KASLR }],
    ['debian-6.12-cloud', 'on a CPU without la57, at 1 MiB', { cpu: 'x86-64-v1', loadAt: MIB, ...NO_KASLR }],
    ['debian-6.12', 'on a CPU without la57, above 4 GiB', { cpu: 'x86-64-v1', ...HIGH }],
    ['debian-6.1', 'entered with 5-level paging, at 16 MiB', { paging: 5, loadAt: 16 * MIB, ...NO_KASLR }],
  ] as const)('%s %s', ([name, , options], context) => {
    const image = imageOf(wanted(name, context));
    const { outcome, stages, unimplemented, console } = boot(image, options);
    expect({ outcome: outcome.kind, unimplemented }).toEqual({ outcome: 'stage-reached', unimplemented: [] });
    expect(stages.map((stage) => stage.name)).toEqual(['entry', 'decompress', 'handoff', 'banner']);
    expect(console).toMatch(/Linux version [^\n]*\n$/);
    expect(console).toContain(`Linux version ${versionOf(image)} (`);
  });
});
