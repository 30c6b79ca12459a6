/** Tasks: submitted, read, changed, explained, and what they wrote. */
import { JarvisError } from '../../lib/errors.ts';
import { limits } from '../../lib/limits.ts';
import { formatTime } from '../../lib/times.ts';
import { explanationToJson, listToJson, planToJson, taskToJson } from '../../spec/json.ts';
import { parseTaskSpec } from '../../spec/task-schema.ts';
import { parseTaskUpdate } from '../../spec/task-update.ts';
import { taskUsageToJson } from '../../spec/usage-json.ts';
import { wireFromPlain } from '../../spec/wire.ts';
import { sendLogs } from '../logs-route.ts';
import { planRequest } from '../plan-request.ts';
import { logsQuery, logsRequest, refusedQuery, tasksQuery, taskUsageQuery } from '../query.ts';
import { idempotencyKey, labelsToWire } from '../requests.ts';
import { route } from '../route.ts';
import { planSpec, taskSpec, taskUpdate } from '../schemas/bodies.ts';
import { explanation, plan, task, taskList } from '../schemas/tasks.ts';
import { taskUsage } from '../schemas/usage.ts';

export const taskRoutes = [
  route({
    method: 'POST',
    path: '/tasks',
    operation: 'submitTask',
    summary: 'Submits one task',
    answer: task,
    status: 201,
    body: { schema: taskSpec },
    handler: async ({ request, reply, operations, body, context }) => {
      const key = idempotencyKey(request);
      parseTaskSpec(body);
      const tasks = [wireFromPlain(body as Readonly<Record<string, unknown>>)];
      const answer = await operations.submitTasks({ tasks, idempotency_key: key }, context());
      const [created] = answer.tasks;
      if (created === undefined) throw new JarvisError('internal', 'no task came back');
      reply.header('location', `/tasks/${created.id}`);
      return taskToJson(created);
    },
  }),
  route({
    method: 'GET',
    path: '/tasks',
    operation: 'listTasks',
    isRead: true,
    summary: 'Tasks, the newest first',
    answer: taskList,
    query: tasksQuery,
    handler: async ({ operations, query, context }) => {
      const { items, next_cursor: next } = await refusedQuery(operations.listTasks(query, context()));
      return listToJson(items.map(taskToJson), next);
    },
  }),
  route({
    method: 'GET',
    path: '/tasks/:id',
    operation: 'getTask',
    isRead: true,
    summary: 'One task, with its attempts',
    answer: task,
    handler: async ({ operations, parameter, context }) =>
      taskToJson(await operations.getTask({ id: parameter('id') }, context())),
  }),
  route({
    method: 'DELETE',
    path: '/tasks/:id',
    operation: 'cancelTask',
    summary: 'Cancels a task',
    answer: task,
    handler: async ({ request, operations, parameter, context }) => {
      const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
      return taskToJson(await operations.cancelTask(asked, context()));
    },
  }),
  route({
    method: 'PATCH',
    path: '/tasks/:id',
    operation: 'updateTask',
    summary: 'Changes a task that waits for its turn',
    answer: task,
    body: { schema: taskUpdate },
    handler: async ({ request, operations, parameter, body, context }) => {
      const { priority, labels = [], notBeforeMs } = parseTaskUpdate(body);
      const asked = {
        id: parameter('id'),
        idempotency_key: idempotencyKey(request),
        priority,
        ...labelsToWire(labels),
        not_before:
          notBeforeMs === null ? '' : notBeforeMs === undefined ? undefined : formatTime(notBeforeMs),
      };
      return taskToJson(await operations.updateTask(asked, context()));
    },
  }),
  route({
    method: 'POST',
    path: '/tasks/:id/retry',
    operation: 'retryTask',
    summary: 'Begins a task anew that is over',
    answer: task,
    handler: async ({ request, operations, parameter, context }) => {
      const asked = { id: parameter('id'), idempotency_key: idempotencyKey(request) };
      return taskToJson(await operations.retryTask(asked, context()));
    },
  }),
  route({
    method: 'GET',
    path: '/tasks/:id/explain',
    operation: 'explainTask',
    isRead: true,
    summary: 'Why a task waits',
    answer: explanation,
    handler: async ({ operations, parameter, context }) =>
      explanationToJson(await operations.explainTask({ id: parameter('id') }, context())),
  }),
  route({
    method: 'GET',
    path: '/tasks/:id/usage',
    operation: 'getTaskUsage',
    summary: 'What the running attempt of a task uses, with a short history; 409 where none runs',
    answer: taskUsage,
    query: taskUsageQuery,
    handler: async ({ operations, parameter, query, context }) => {
      const asked = { id: parameter('id'), since: query.since };
      return taskUsageToJson(await refusedQuery(operations.getTaskUsage(asked, context())));
    },
  }),
  route({
    method: 'GET',
    path: '/tasks/:id/logs',
    operation: 'readLogs',
    summary: 'What an attempt of a task wrote',
    answer: 'text/plain',
    query: logsQuery,
    isStream: true,
    handler: async ({ reply, operations, parameter, query, log, context }) => {
      const wanted = logsRequest(parameter('id'), query);
      const inner = context(wanted.follow ? null : limits.httpLogsTimeoutMs);
      await sendLogs(reply, { operations, request: wanted, context: inner, log });
      return reply;
    },
  }),
  route({
    method: 'POST',
    path: '/plan',
    operation: 'planTasks',
    summary: 'Where tasks would run if they were submitted now; changes nothing',
    answer: plan,
    body: { schema: planSpec },
    handler: async ({ operations, body, context }) =>
      planToJson(await operations.planTasks(await planRequest(body), context())),
  }),
];
