import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { imageInfo } from '../../src/audit/info.ts';
import { infoJson } from '../../src/report/infoJson.ts';
import { makeImage, makeKernel } from '../audit/imageParts.ts';
import { sample } from '../cli/fakeIo.ts';

const documentation = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8');

describe('the object about an image', () => {
  const object = infoJson('vmlinuz', imageInfo(makeImage()));

  it('survives JSON', () => {
    expect(JSON.parse(JSON.stringify(object))).toEqual(object);
  });

  it('has the header', () => {
    expect(object).toMatchObject({ name: 'vmlinuz', kind: 'bzImage', elf: null, problems: [] });
    expect(object.bzImage?.header.find(({ name }) => name === 'pref_address')).toEqual({
      name: 'pref_address',
      offset: 0x258,
      size: 8,
      value: '0x1000000',
      flags: null,
      meaning: '16 MiB',
    });
    expect(object.bzImage?.header.find(({ name }) => name === 'loadflags')?.flags).toEqual(['LOADED_HIGH']);
  });

  it('has the kernel', () => {
    expect(object.kernel).toMatchObject({
      size: makeKernel().length,
      elf: { type: 'ET_EXEC', entry: '0x1000000', relocations: null },
      banner: 'Linux version 6.1.0-test (me@here) (gcc) #1 SMP',
      config: { version: '6.1.0', options: { y: 1, m: 1, n: 1, other: 1 } },
      symbols: [{ from: 'kallsyms', form: 'base-relative', count: 1100 }],
    });
    expect(object.kernel?.symbols[0]?.key[1]).toEqual({
      address: '0xffffffff81000000',
      letter: 'T',
      name: 'startup_64',
    });
  });

  it('has nulls for what is not there', () => {
    const stub = infoJson('stub', imageInfo(new Uint8Array(readFileSync(sample('good.elf')))));
    expect(stub).toMatchObject({ kind: 'stub', bzImage: null, payload: null, kernel: null });
    expect(stub.elf).toMatchObject({ banner: null, buildId: null, config: null });
  });

  it('is documented, every field', () => {
    const section = documentation.slice(documentation.indexOf('# The JSON of `firstlight info --json`'));
    const kernel = object.kernel;
    const objects: readonly object[] = [
      ...[object, object.bzImage, object.bzImage?.header[0], object.payload],
      ...[kernel, kernel?.elf, kernel?.elf?.segments[0], kernel?.config, kernel?.symbols[0]],
    ].filter((one) => one !== null && one !== undefined);
    expect(objects).toHaveLength(9);
    for (const name of objects.flatMap(Object.keys)) expect(section).toContain(`\`${name}\``);
  });
});
