/** What the API is, for programs. */
import { z } from 'zod';

import { openApiDocument } from '../openapi.ts';
import type { Route } from '../route.ts';
import { route } from '../route.ts';

/** @param routes of the whole table, this one among them */
export function documentRoute(routes: () => readonly Route[]): Route {
  return route({
    method: 'GET',
    path: '/openapi.json',
    operation: 'getOpenApi',
    summary: 'This document',
    answer: z.looseObject({ openapi: z.string(), paths: z.looseObject({}) }),
    isPublic: true,
    handler: async ({ operations }) => openApiDocument(routes(), operations.version().version),
  });
}
