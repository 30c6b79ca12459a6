/** JSON Schemas for editors: of tasks, batches, DAGs and the file of a node. */
import { z } from 'zod';

import { JarvisError } from '../../lib/errors.ts';
import { batchSchemaOf, dagSchemaOf, taskSchema } from '../../spec/json-schemas.ts';
import type { RouteCall } from '../route.ts';
import { route } from '../route.ts';

type Name = 'task' | 'batch' | 'dag' | 'config';

const SCHEMAS: Readonly<Record<Name, (call: Pick<RouteCall<unknown>, 'nodeFileSchema'>) => object>> = {
  task: taskSchema,
  batch: batchSchemaOf,
  dag: dagSchemaOf,
  config: ({ nodeFileSchema }) => nodeFileSchema(),
};

export const schemaRoutes = [
  route({
    method: 'GET',
    path: '/schemas/:name',
    operation: 'getSchema',
    summary: 'The JSON Schema of tasks (task), batches (batch), DAGs (dag) or the file of a node (config)',
    answer: z.looseObject({ $schema: z.string(), title: z.string() }),
    mediaType: 'application/schema+json',
    isPublic: true,
    handler: async (call) => {
      const name = call.parameter('name');
      if (!isName(name))
        throw new JarvisError(
          'not_found',
          `there is no such schema; there are: ${Object.keys(SCHEMAS).join(', ')}`,
        );
      call.reply.header('content-type', 'application/schema+json; charset=utf-8');
      return SCHEMAS[name](call);
    },
  }),
];

function isName(name: string): name is Name {
  return Object.hasOwn(SCHEMAS, name);
}
