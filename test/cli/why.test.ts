import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readWhyInput, whyUsage } from '../../src/cli/commands/why.ts';
import { readArguments } from '../../src/cli/usage.ts';
import { BAD, GOOD, sample } from './fakeIo.ts';

const read = (...args: string[]) => readWhyInput(readArguments(whyUsage, args));

describe('the arguments of firstlight why', () => {
  it('are those of boot', () => {
    expect(read(GOOD, '--load-at', '2M', '--seed', '3')).toMatchObject({
      config: { loadAt: 0x200000, seed: 3, until: 'banner' },
      isSample: false,
      symbols: undefined,
    });
  });

  it('stand for the bundled sample where no image is named', () => {
    const { config, isSample } = read();
    expect({ isSample, image: Buffer.from(config.image) }).toEqual({ isSample: true, image: readFileSync(BAD) });
  });

  it('may name symbols', () => {
    expect(read(BAD, '--symbols', sample('bad.elf')).symbols).toBeDefined();
  });

  it('name a file of symbols that cannot be read', () => {
    expect(() => read(BAD, '--symbols', '/missing')).toThrow("cannot read '/missing': no such file");
  });

  it('allow one image', () => {
    expect(() => read(BAD, GOOD)).toThrow(`one image at a time; '${GOOD}' is one too many`);
  });
});
