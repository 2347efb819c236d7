// The boot protocols, a row each. Of those that an image can be entered by, the first that calls it usual has it.

import type { BootProtocol } from '../protocol.ts';
import { linux } from './linux.ts';
import { multiboot } from './multiboot.ts';
import { pvh } from './pvh.ts';

export const PROTOCOLS: BootProtocol[] = [linux, multiboot, pvh];
