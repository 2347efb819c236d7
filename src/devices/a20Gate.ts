// The A20 mask of a PC: address line 20 passes when the keyboard controller's output port or system control port A
// lets it (chipsets OR the two: 82371SB, port 92). This is wiring, not a chip: the two chips keep their own bit and
// drive it here, at construction, reset and restore too, so the gate needs no state of its own in a snapshot.

export type A20Source = '8042' | 'port92';

export type A20Gate = {
  /** True when address bit 20 passes. */
  enabled(): boolean;
  set(source: A20Source, level: boolean): void;
};

/** `changed` hears each change of the combined level. The power-on level is enabled: the 8042's pins start high. */
export const createA20Gate = (changed: (enabled: boolean) => void): A20Gate => {
  const levels: Record<A20Source, boolean> = { '8042': true, port92: false };
  const enabled = (): boolean => levels['8042'] || levels.port92;
  return {
    enabled,
    set: (source, level) => {
      const before = enabled();
      levels[source] = level;
      if (enabled() !== before) changed(enabled());
    },
  };
};
