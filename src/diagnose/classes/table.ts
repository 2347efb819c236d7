// The classes of deaths that are looked for, in this order. Each is one file and one row.

import type { DeathClass } from './class.ts';
import { positionDependentReference } from './positionDependentReference.ts';

export const CLASSES: readonly DeathClass[] = [positionDependentReference];
