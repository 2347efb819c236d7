// What an audit is given beside the files.

import type { KernelConfig } from '../image/kernelConfig.ts';
import type { SymbolTable } from '../image/symbols.ts';
import type { LinkAudit } from './objects/audit.ts';

export type AuditOptions = {
  /** Of the stub in a bzImage. */
  readonly symbols?: SymbolTable;
  /** The configuration of the build, for an image that does not carry its own. */
  readonly config?: KernelConfig;
  /** The command that links the stub. */
  readonly link?: LinkAudit;
  /** Unpack the kernel inside, and audit it and the configuration it carries. */
  readonly payload?: boolean;
};

export type AuditInput = {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Of a thin archive: its members, by the names it gives them. */
  readonly members?: ReadonlyMap<string, Uint8Array>;
};
