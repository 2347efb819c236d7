// From an exception to its handler, to a double fault, or to the shutdown that resets a PC (SDM 3A 6.15, table 6-5).

import type { ReasonId } from '../../x86/reasons.ts';
import { escalate, VECTOR, type VectorClass, vectorInfo } from '../../x86/vectors.ts';
import { type Cpu, type Fault, fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { deliver, type InterruptEvent } from './gates.ts';

export { deliver };

/** One exception of a chain; its first may be an interrupt instead. */
export type FaultLink = {
  readonly vector: number;
  /** It came from outside, and is no exception, whatever its vector is called. */
  readonly interrupt?: true;
  readonly error?: number;
  /** Offset of the instruction it reports. */
  readonly rip: bigint;
  /** Linear address, for page faults. */
  readonly cr2?: bigint;
  /** The check whose failure raised it; absent for interrupts. */
  readonly check?: ReasonId;
  /** Why it could not be delivered, in words; absent for the one that was. */
  readonly reason?: string;
  /** What its delivery met. */
  readonly met?: { readonly vector: number; readonly error?: number; readonly cr2?: bigint; readonly check?: ReasonId };
};

export type Raised = { readonly kind: 'delivered' | 'triple-fault'; readonly chain: readonly FaultLink[] };

const eventOf = (raised: Fault, returnRip: bigint): InterruptEvent => ({
  vector: raised.vector,
  source: 'exception',
  returnRip,
  ...(raised.error === undefined ? {} : { error: raised.error }),
  ...(raised.address === undefined ? {} : { address: raised.address }),
  ...(raised.trap === undefined ? {} : { trap: raised.trap }),
  ...(raised.dr6 === undefined ? {} : { dr6: raised.dr6 }),
});

/** Interrupts are benign whatever vector they use. */
const classOf = (event: InterruptEvent): VectorClass =>
  event.source === 'exception' ? vectorInfo(event.vector).class : 'benign';

const linkOf = (event: InterruptEvent): FaultLink => ({
  vector: event.vector,
  ...(event.source === 'external' ? { interrupt: true as const } : {}),
  ...(event.error === undefined ? {} : { error: event.error }),
  rip: event.returnRip,
  ...(event.address === undefined ? {} : { cr2: event.address }),
});

const metOf = (met: Fault): NonNullable<FaultLink['met']> => ({
  vector: met.vector,
  ...(met.error === undefined ? {} : { error: met.error }),
  ...(met.address === undefined ? {} : { cr2: met.address }),
  check: met.reason,
});

/**
 * Delivers an exception, or an external interrupt, whatever it takes: the exception that its delivery meets, a double
 * fault, and in the end 'triple-fault'. The exception is reported at RIP, which for traps already is the next instruction.
 */
export const raise = (cpu: Cpu, first: Fault | InterruptEvent): Raised => {
  let returnRip = cpu.state.rip;
  const chain: FaultLink[] = [];
  let event = 'kind' in first ? eventOf(first, returnRip) : first;
  let check = 'kind' in first ? first.reason : undefined;
  if ('kind' in first && first.during) chain.push({ ...first.during, rip: returnRip, met: metOf(first) });
  // Each turn delivers, or goes on to an exception in a higher class or a chain that ends: benign exceptions only
  // meet others through broken tables, which raise contributory ones.
  for (;;) {
    const outcome = deliver(cpu, event);
    const link = { ...linkOf(event), ...(check === undefined ? {} : { check }) };
    if (outcome.kind === 'delivered') return { kind: 'delivered', chain: [...chain, link] };
    const met = outcome.fault;
    if (outcome.switched) returnRip = cpu.state.rip;
    chain.push({ ...link, reason: outcome.reason, met: metOf(met) });
    if (met.vector === VECTOR.PF && met.address !== undefined) cpu.state.setU64(at.CR2, met.address);
    const step = escalate(classOf(event), vectorInfo(met.vector).class);
    if (step === 'shutdown') return { kind: 'triple-fault', chain };
    const then = step === 'serial' ? met : fault('double-fault', VECTOR.DF, 0);
    event = eventOf(then, returnRip);
    check = then.reason;
  }
};
