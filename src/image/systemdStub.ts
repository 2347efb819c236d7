// systemd's stub for unified kernel images, by what it says of itself. systemd-boot has the same section with another word.
import { searchFor } from './search.ts';

const search = searchFor(new TextEncoder().encode('LoaderInfo: systemd-stub '));

export const isSystemdStub = (bytes: Uint8Array): boolean => search(bytes) >= 0;
