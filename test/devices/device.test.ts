import { describe, expect, it } from 'vitest';
import { adoptState, byteWide, copyState, sayOnce } from '../../src/devices/device.ts';
import { PORTS } from '../../src/devices/ports.ts';
import { recorded } from './support.ts';

describe('what chips share', () => {
  it('splits a wide access of an 8-bit chip into consecutive offsets, low byte first', () => {
    const written: [number, number][] = [];
    const chip = byteWide(
      (offset) => 0xa0 + offset,
      (offset, value) => void written.push([offset, value]),
    );
    chip.write(4, 2, 0x1_2345);
    expect(written).toEqual([
      [4, 0x45],
      [5, 0x23],
    ]);
    expect(chip.read(0, 2)).toBe(0xa1a0);
    expect(chip.read(0, 4)).toBe(0xa3a2a1a0);
  });

  it('says each unknown once until it forgets', () => {
    const said = recorded<string>();
    const loud = sayOnce(said.call);
    loud.say('a');
    loud.say('b');
    loud.say('a');
    expect(said.heard).toEqual(['a', 'b']);
    loud.forget();
    loud.say('a');
    expect(said.heard).toEqual(['a', 'b', 'a']);
  });

  it('copies state deeply', () => {
    const state = { list: [1], inner: { value: 2 } };
    const copy = copyState(state);
    state.list.push(3);
    state.inner.value = 4;
    expect(copy).toEqual({ list: [1], inner: { value: 2 } });
  });

  it.each([
    ['a missing field', {}, 'state.inner'],
    ['a stranger', { inner: { value: 1 }, other: 1 }, 'state.other'],
    ['another type', { inner: { value: '1' } }, 'state.inner.value'],
  ])('refuses a saved state with %s', (_what, saved, path) => {
    expect(() => adoptState('chip', { inner: { value: 0 } }, saved)).toThrow(
      `chip: saved state does not fit at ${path}`,
    );
  });
});

describe('PORTS', () => {
  it('gives no port to two chips, but for 0xcf9 inside the PCI configuration mechanism', () => {
    const owners = new Map<number, string[]>();
    for (const [chip, { ranges }] of Object.entries(PORTS)) {
      for (const { first, count } of ranges) {
        for (let port = first; port < first + count; port++) owners.set(port, [...(owners.get(port) ?? []), chip]);
      }
    }
    const shared = [...owners].filter(([, chips]) => chips.length > 1);
    expect(shared).toEqual([[0xcf9, ['resetControl', 'pciConfig']]]);
  });
});
