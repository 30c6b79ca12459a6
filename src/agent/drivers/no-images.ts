import type { ContainerSpec } from '../../model/task.ts';
import type { DriverName } from './driver.ts';

/** Why a driver that runs commands refuses an image. */
export function noImages(driver: DriverName, { image }: ContainerSpec): string {
  return `the ${driver} driver runs no images, but was given ${JSON.stringify(image)}`;
}
