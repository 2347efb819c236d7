#!/usr/bin/env node
import process from 'node:process';
import { processIo } from './io.ts';
import { main } from './program.ts';
import { setV8Flags } from './v8Flags.ts';

setV8Flags();
// Not process.exit(): what is still on its way to a pipe shall arrive.
process.exitCode = await main(['qemu', ...process.argv.slice(2)], processIo());
