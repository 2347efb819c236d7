// How a triple fault came about, from the first exception to the shutdown (SDM 3A 6.15).

import { hex } from '../bits/hex.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import { exceptionText, VECTOR } from '../x86/vectors.ts';

/** The exception that began it: "#PF(0x2) on address 0xdead0000 at 0x1000212". */
export function firstExceptionText(chain: readonly FaultLink[]): string {
  const first = chain[0];
  return first === undefined ? 'no exception on record' : `${withAddress(first)} at ${hex(first.rip)}`;
}

/** The whole chain, a step a line. */
export function chainLines(chain: readonly FaultLink[]): string[] {
  const steps = chain.flatMap((link, i) => [...beginning(link, i), ...delivery(link)]);
  return [...steps, '-> shutdown; a PC resets'];
}

/** An exception met while another was delivered has been named there; a double fault stands for itself. */
function beginning(link: FaultLink, index: number): string[] {
  if (index === 0) return [`${withAddress(link)} at ${hex(link.rip)}`];
  return link.vector === VECTOR.DF ? [`-> ${exceptionText(link.vector, link.error)}, the double fault`] : [];
}

function delivery(link: FaultLink): string[] {
  if (link.met === undefined) return [];
  return [`-> ${withAddress(link.met)} while that was delivered: ${link.reason ?? 'no reason on record'}`];
}

/** Where a PC BIOS has IRQ 0 to 7; no APIC sends a vector below 16. */
const BIOS_IRQS = 8;

/** "interrupt 8 (IRQ 0: the 8259A is still at the BIOS's vectors)". */
export function interruptText(vector: number): string {
  const irq = vector - BIOS_IRQS;
  const place = irq >= 0 && irq < 8 ? ` (IRQ ${irq}: the 8259A is still at the BIOS's vectors)` : '';
  return `interrupt ${vector}${place}`;
}

function withAddress(event: { vector: number; interrupt?: true; error?: number; cr2?: bigint }): string {
  if (event.interrupt) return interruptText(event.vector);
  const name = exceptionText(event.vector, event.error);
  return event.cr2 === undefined ? name : `${name} on address ${hex(event.cr2)}`;
}
