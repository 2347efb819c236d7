// What classes of deaths have in common as JSON; docs/json.md describes every field.

import { exactCount, hex, hexBytes } from '../bits/hex.ts';
import type { InstructionAt, ProofBoot, Step } from './types.ts';

export const instructionJson = (at: InstructionAt) => ({
  fileOffset: at.fileOffset ?? null,
  runtimeAddress: hex(at.runtimeAddress),
  linkAddress: at.linkAddress === undefined ? null : hex(at.linkAddress),
  bytes: hexBytes(at.bytes),
  text: at.text,
  symbol: at.symbol ?? null,
  owner: at.owner ?? null,
});

export const stepJson = ({ what, instruction }: Step) => ({
  what,
  instruction: instruction === undefined ? null : instructionJson(instruction),
});

export const proofBootJson = (boot: ProofBoot) => ({
  loadAddress: hex(boot.loadAddress),
  entry: boot.entry,
  paging: boot.entry === 32 ? null : boot.paging,
  cpu: boot.cpu,
  variant: boot.variant,
  plainRam: boot.plainRam,
  alias:
    boot.alias === undefined
      ? null
      : { from: hex(boot.alias.from), to: hex(boot.alias.to), size: hex(boot.alias.size) },
  passed: boot.passed,
  outcome: boot.outcome,
  stage: boot.stage,
  instructions: exactCount(boot.instructions),
});
