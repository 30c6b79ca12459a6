import { expect, it } from 'vitest';

import { samplesOf, testRegistry } from '../testing/samples.ts';
import { CallMetrics } from './calls.ts';

const REFUSED = 'jarvis_requests_refused_total';

it('calls count by method and status, streams only where they are refused', async () => {
  const registry = testRegistry();
  const metrics = new CallMetrics(registry);
  const call = { method: 'a.Service/Get', error: null, isStream: false, durationMs: 20 };
  metrics.rpcEnded({ ...call, status: 'OK' });
  metrics.rpcEnded({ ...call, status: 'UNAVAILABLE', error: 'no_leader' });
  metrics.rpcEnded({ ...call, status: 'RESOURCE_EXHAUSTED', error: 'too_many' });
  metrics.rpcEnded({ ...call, status: 'RESOURCE_EXHAUSTED' });
  metrics.rpcEnded({ ...call, status: 'PERMISSION_DENIED', error: 'forbidden', isStream: true });
  expect(await samplesOf(registry, 'jarvis_rpc')).toEqual({
    'jarvis_rpc_duration_seconds_sum{method="a.Service/Get",code="OK"}': 0.02,
    'jarvis_rpc_duration_seconds_count{method="a.Service/Get",code="OK"}': 1,
    'jarvis_rpc_duration_seconds_sum{method="a.Service/Get",code="UNAVAILABLE"}': 0.02,
    'jarvis_rpc_duration_seconds_count{method="a.Service/Get",code="UNAVAILABLE"}': 1,
    'jarvis_rpc_duration_seconds_sum{method="a.Service/Get",code="RESOURCE_EXHAUSTED"}': 0.04,
    'jarvis_rpc_duration_seconds_count{method="a.Service/Get",code="RESOURCE_EXHAUSTED"}': 2,
  });
  expect(await samplesOf(registry, REFUSED)).toEqual({
    [`${REFUSED}{reason="unauthenticated"}`]: 0,
    [`${REFUSED}{reason="forbidden"}`]: 1,
    [`${REFUSED}{reason="rate_limited"}`]: 1,
    [`${REFUSED}{reason="too_large"}`]: 1,
    [`${REFUSED}{reason="invalid"}`]: 0,
  });
});

it('requests count by the pattern of their path', async () => {
  const registry = testRegistry();
  const metrics = new CallMetrics(registry);
  const request = { method: 'GET', route: '/tasks/:id', status: 200, isStream: false, durationMs: 10 };
  metrics.httpEnded(request);
  metrics.httpEnded({ ...request, route: null, status: 404 });
  metrics.httpEnded({ ...request, route: '/events', isStream: true });
  for (const status of [400, 401, 403, 413, 422, 429, 503]) metrics.httpEnded({ ...request, status });
  const counted = Object.keys(await samplesOf(registry, 'jarvis_http_request_duration_seconds_count'));
  expect(counted.slice(0, 2)).toEqual([
    'jarvis_http_request_duration_seconds_count{method="GET",route="/tasks/:id",code="200"}',
    'jarvis_http_request_duration_seconds_count{method="GET",route="none",code="404"}',
  ]);
  expect(await samplesOf(registry, REFUSED)).toEqual({
    [`${REFUSED}{reason="unauthenticated"}`]: 1,
    [`${REFUSED}{reason="forbidden"}`]: 1,
    [`${REFUSED}{reason="rate_limited"}`]: 1,
    [`${REFUSED}{reason="too_large"}`]: 1,
    [`${REFUSED}{reason="invalid"}`]: 2,
  });
});
