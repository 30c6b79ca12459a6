import { badFrom, dashboard, goodFrom, graph, number, quantiles } from './panels.mjs';

export const cluster = dashboard({
  uid: 'jarvis-cluster',
  title: 'Jarvis / Cluster',
  description: 'Whether the cluster is well, and how much it does.',
  panels: [
    number('Leaders', 'One, but for moments.', 'short', 'sum(jarvis_raft_is_leader)', goodFrom(1)),
    number('Nodes at work', 'AVAILABLE.', 'short', 'sum(jarvis_nodes{status="AVAILABLE"})'),
    number(
      'Nodes away',
      'UNHEALTHY or OFFLINE.',
      'short',
      'sum(jarvis_nodes{status=~"UNHEALTHY|OFFLINE"})',
      badFrom(1),
    ),
    number(
      'Voters to spare',
      'So many may fail before the cluster stops.',
      'short',
      'min(jarvis_raft_spare_voters)',
      goodFrom(1),
    ),
    number('Queue', 'Tasks that could run and have no node yet.', 'short', 'sum(scheduler_queue_depth)'),
    number('Oldest wait', 'Of those.', 's', 'max(jarvis_queue_oldest_seconds)', badFrom(900)),
    graph('Tasks', 'That are not over, by status.', 'short', {
      '{{status}}': 'sum by (status) (jarvis_tasks)',
    }),
    graph('Finished', 'Tasks that ended, by how.', 'ops', {
      '{{status}}': 'sum by (status) (rate(jarvis_tasks_finished_total[$__rate_interval]))',
    }),
    graph('Failed attempts', 'By type of error.', 'ops', {
      '{{error_type}}': 'sum by (error_type) (rate(task_failures_total[$__rate_interval]))',
    }),
    graph('Processors', 'Of all nodes that work: what there is, and what is set aside for tasks.', 'short', {
      capacity: 'sum(jarvis_cluster_capacity_cpu_cores)',
      allocated: 'sum(jarvis_cluster_allocated_cpu_cores)',
    }),
    graph('Memory', 'Of all nodes that work: what there is, and what is set aside for tasks.', 'bytes', {
      capacity: 'sum(jarvis_cluster_capacity_memory_bytes)',
      allocated: 'sum(jarvis_cluster_allocated_memory_bytes)',
    }),
    graph('HTTP', 'Requests, by status.', 'reqps', {
      '{{code}}': 'sum by (code) (rate(jarvis_http_request_duration_seconds_count[$__rate_interval]))',
    }),
    graph('gRPC', 'Calls, by status.', 'reqps', {
      '{{code}}': 'sum by (code) (rate(jarvis_rpc_duration_seconds_count[$__rate_interval]))',
    }),
    graph('HTTP latency', 'Over all routes.', 's', quantiles('jarvis_http_request_duration_seconds')),
    graph('Refused', 'Callers that were turned away, by why.', 'reqps', {
      '{{reason}}': 'sum by (reason) (rate(jarvis_requests_refused_total[$__rate_interval]))',
    }),
    graph('Alerts', 'Requests to the webhooks of `alerts.webhooks`, by what became of them.', 'short', {
      '{{outcome}}': 'sum by (outcome) (increase(jarvis_alert_deliveries_total[$__rate_interval]))',
    }),
    graph('Autoscaler', 'What its rules came to, and what it asked for in vain.', 'short', {
      '{{action}}':
        'sum by (action) (increase(jarvis_autoscaler_decisions_total{action!="none"}[$__rate_interval]))',
      failures: 'sum(increase(jarvis_autoscaler_failures_total[$__rate_interval]))',
    }),
  ],
});
