import { availableParallelism } from 'node:os';

import { invariant } from '../../../lib/assert.ts';

/** Every bound of the docker driver. Bytes and milliseconds. */
export const DOCKER_LIMITS = {
  /** Containers that are created and started at the same time: with more an engine gets no faster. */
  startsAtOnce: Math.max(4, 2 * availableParallelism()),
  /** Images that are pulled at the same time. */
  pullsAtOnce: 3,
  /** Of those who wait for one image, so many tell how far it is; the others only that it is pulled. */
  pullListeners: 16,
  pullNoteIntervalMs: 2000,
  /** A pull of which nothing has been heard for so long, by an engine that answers otherwise, is given up. */
  pullStallMs: 120_000,
  /** One line of an engine's progress. */
  pullLineBytes: 1024 * 1024,
  /** An image that was looked at is taken for there so long; one that is not there after all shows at `create`. */
  imageMemoryMs: 10_000,
  /** What the engine said of itself. */
  factsMemoryMs: 60_000,
  /** The image may be removed between its pull and `create`: so often it is pulled once more. */
  createTries: 3,

  pingTimeoutMs: 5000,
  quickTimeoutMs: 10_000,
  /** Creates, removals and lists wait for other work of the engine. */
  slowTimeoutMs: 60_000,
  /** A start of the node waits so long to know whether there is an engine. */
  firstLookMs: 1000,
  /** Between looks at whether the engine answers. */
  pingIntervalMs: 2000,
  /** Between looks at all containers: an event may have been missed. */
  reconcileIntervalMs: 5000,
  /** Where nothing runs: a create that was given up may still be carried out. */
  idleReconcileIntervalMs: 20_000,
  /** An engine that has not answered for so long gets no new tasks. */
  unavailableAfterMs: 8000,
  retryMinMs: 50,
  retryMaxMs: 2000,
  /** Ends of containers are looked at one after the other above so many at once. */
  inspectionsAtOnce: 16,

  /** An engine hears of the end of a container's last process; where it still has not after so long, it never will. */
  hollowAfterMs: 5000,
  hollowLookMs: 500,
  /** Control groups of running containers that one look at all containers reads: each is read in its turn. */
  groupsPerList: 200,

  /** Output is followed from here on; what ends sooner is read once, at its end. */
  followAfterMs: 100,
  /** For the stream of the output to end once the container has. */
  logEndTimeoutMs: 2000,
  /** For what is left of the output once a container has ended. */
  restTimeoutMs: 120_000,
  /** What the engine itself keeps of a container's output, until it is read. */
  engineLogFileBytes: 10 * 1024 * 1024,
  engineLogFiles: 3,
  /** One frame of output as the engine sends it: 16 KiB and a time stamp at most. */
  logFrameBytes: 1024 * 1024,

  /** From the first KILL to killing by pid what the engine did not. */
  engineKillTimeoutMs: 1000,
  /** After an end by KILL that nobody here sent: whether memory ran out is asked again so much later, each time. */
  outOfMemoryLooksMs: [100, 300, 1000],
  killPauseMinMs: 10,
  killPauseMaxMs: 500,

  /** Removals that are under way at a stop. */
  closeTimeoutMs: 1500,

  imageCollectionIntervalMs: 60_000,
} as const;

invariant(
  DOCKER_LIMITS.pingTimeoutMs < DOCKER_LIMITS.unavailableAfterMs,
  'one ping that is not answered makes no engine unavailable',
);
