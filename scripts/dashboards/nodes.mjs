import { dashboard, graph } from './panels.mjs';

export const nodes = dashboard({
  uid: 'jarvis-nodes',
  title: 'Jarvis / Nodes',
  description: 'What each node uses, and how its process does.',
  isByNode: true,
  panels: [
    graph(
      'CPU',
      'Of its processors, or of its quota of them.',
      'percent',
      { '{{node_id}}': 'worker_cpu_usage_percent' },
      { line: 80, max: 100 },
    ),
    graph('Memory', 'In use.', 'bytes', { '{{node_id}}': 'worker_memory_bytes' }),
    graph(
      'Memory, of all',
      'Share that is in use.',
      'percentunit',
      { '{{instance}}': 'worker_memory_bytes / ignoring (node_id) jarvis_worker_memory_size_bytes' },
      { line: 0.9, max: 1 },
    ),
    graph(
      'Disk, of all',
      'Share of the file system of the data directory.',
      'percentunit',
      { '{{instance}}': 'jarvis_worker_disk_used_bytes / jarvis_worker_disk_size_bytes' },
      { line: 0.85, max: 1 },
    ),
    graph('Network', 'Of all interfaces but the loopback.', 'Bps', {
      '{{instance}} {{direction}}': 'rate(jarvis_worker_network_bytes_total[$__rate_interval])',
    }),
    graph('Active tasks', 'That it has at present.', 'short', { '{{node_id}}': 'worker_active_tasks' }),
    graph('Output of tasks', 'Kept on the node.', 'bytes', { '{{instance}}': 'jarvis_task_log_size_bytes' }),
    graph('Output, written', 'By tasks.', 'Bps', {
      '{{instance}}': 'rate(jarvis_task_log_written_bytes_total[$__rate_interval])',
    }),
    graph('Lease', 'What is left of it: at 0 its tasks end.', 's', {
      '{{instance}}': 'jarvis_worker_lease_remaining_seconds',
    }),
    graph('Process: CPU', 'Of the daemon itself, in processors.', 'short', {
      '{{instance}}': 'rate(jarvis_process_cpu_seconds_total[$__rate_interval])',
    }),
    graph('Process: memory', 'Of the daemon itself.', 'bytes', {
      '{{instance}} resident': 'jarvis_process_resident_memory_bytes',
      '{{instance}} heap': 'jarvis_process_heap_bytes',
    }),
    graph('Event loop', 'How late timers are.', 's', {
      '{{instance}} p99': 'jarvis_event_loop_lag_seconds{quantile="0.99"}',
      '{{instance}} worst': 'jarvis_event_loop_lag_seconds{quantile="1"}',
    }),
  ],
});
