import { describe, expect, it } from 'vitest';

import { attemptSpec, containerSpec } from '../driver-contract.test-kit.ts';
import { attemptOfLabels, cgroupParentOf, cgroupPathOf, containerNameOf, labelsOf } from './naming.ts';

const owner = { node: 'n1', incarnation: '1f2e3d4c-aaaa', dataDirectory: '/tmp/jarvis' };
const spec = attemptSpec({ command: [], container: containerSpec(), assignment: 7 });

describe('names of containers', () => {
  it('are found again by their labels', () => {
    const labels = labelsOf(owner, spec);
    const key = { taskId: 'task-a', assignment: 7 };
    expect(attemptOfLabels(labels, owner)).toEqual({ key, isOfIncarnation: true });
    // The same directory, wiped and begun anew.
    expect(attemptOfLabels(labels, { ...owner, incarnation: 'new' })).toEqual({
      key,
      isOfIncarnation: false,
    });
    // The same directory, moved.
    expect(attemptOfLabels(labels, { ...owner, dataDirectory: '/moved' })?.isOfIncarnation).toBe(true);
    expect(attemptOfLabels(labels, { ...owner, incarnation: 'x', dataDirectory: '/y' })).toBeNull();
  });

  it('are taken for nobody where the labels are somebody else’s', () => {
    const labels = labelsOf(owner, spec);
    expect(attemptOfLabels({}, owner)).toBeNull();
    expect(attemptOfLabels({ ...labels, 'io.jarvis.task': '../x' }, owner)).toBeNull();
    expect(attemptOfLabels({ ...labels, 'io.jarvis.assignment': 'x' }, owner)).toBeNull();
  });

  it('give each attempt a control group of its own', () => {
    expect(containerNameOf(owner, spec)).toBe('jarvis-1f2e3d4c-task-a-7');
    expect(cgroupPathOf(cgroupParentOf('cgroupfs', owner, spec))).toBe('/jarvis-1f2e3d4c-task-a-7');
    const slice = cgroupParentOf('systemd', owner, spec);
    expect(slice).toBe('jarvis-1f2e3d4c_task_a_7.slice');
    expect(cgroupPathOf(slice)).toBe('/jarvis.slice/jarvis-1f2e3d4c_task_a_7.slice');
  });
});
