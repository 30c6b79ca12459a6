import { badFrom, dashboard, graph, number, quantiles } from './panels.mjs';

export const scheduler = dashboard({
  uid: 'jarvis-scheduler',
  title: 'Jarvis / Scheduler',
  description: 'How long tasks wait, how they are placed, and how they end.',
  panels: [
    number('Queue', 'Tasks that could run and have no node yet.', 'short', 'sum(scheduler_queue_depth)'),
    number('Oldest wait', 'Of those.', 's', 'max(jarvis_queue_oldest_seconds)', badFrom(900)),
    number(
      'Scheduled',
      'Per second, over five minutes.',
      'ops',
      'sum(rate(scheduler_tasks_scheduled_total[5m]))',
    ),
    number('Active', 'Tasks that nodes have at present.', 'short', 'sum(worker_active_tasks)'),
    number(
      'Failed for good',
      'In the last hour.',
      'short',
      'round(sum(increase(jarvis_tasks_finished_total{status="PERMANENTLY_FAILED"}[1h])))',
      badFrom(1),
    ),
    number(
      'Out of retries',
      'In the last hour.',
      'short',
      'round(sum(increase(jarvis_tasks_retries_exhausted_total[1h])))',
      badFrom(1),
    ),
    graph('Scheduling rate', 'Assignments that were committed.', 'ops', {
      scheduled: 'sum(rate(scheduler_tasks_scheduled_total[$__rate_interval]))',
    }),
    graph(
      'Scheduling latency',
      'From the beginning of a decision until it is committed.',
      's',
      quantiles('scheduler_latency_seconds'),
    ),
    graph(
      'Time in the queue',
      'From when a task could run until it was given a node.',
      's',
      quantiles('jarvis_queue_wait_seconds'),
    ),
    graph('Depth of the queue', 'Tasks that could run and have no node yet.', 'short', {
      depth: 'sum(scheduler_queue_depth)',
    }),
    graph('Execution time', 'Of attempts that ended.', 's', quantiles('task_duration_seconds')),
    graph('Failed attempts', 'By type of error.', 'ops', {
      '{{error_type}}': 'sum by (error_type) (rate(task_failures_total[$__rate_interval]))',
    }),
    graph('Attempts', 'Of all nodes, by status.', 'short', {
      '{{status}}': 'sum by (status) (jarvis_attempts)',
    }),
    graph('Attempts that ended', 'By how.', 'ops', {
      '{{status}}': 'sum by (status) (rate(jarvis_attempts_finished_total[$__rate_interval]))',
    }),
    graph('Tasks per node', 'That it has at present.', 'short', {
      '{{node_id}}': 'sum by (node_id) (worker_active_tasks)',
    }),
  ],
});
