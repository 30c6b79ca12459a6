/** What a power cut needs of the machine; the script that installs programs asks here as well. */
import type { Program } from '../support/docker-bed/programs.ts';

export const POWER_PROGRAMS: readonly Program[] = [
  { name: 'mkfs.ext4', packageName: 'e2fsprogs' },
  { name: 'mount', packageName: 'mount' },
  { name: 'umount', packageName: 'mount' },
  { name: 'perl', packageName: 'perl-base' },
];
