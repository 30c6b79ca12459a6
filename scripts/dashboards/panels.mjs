// What the panels of all dashboards have in common: how a query becomes a graph, a number or a table.
import {
  DashboardBuilder,
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  ThresholdsConfigBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as Timeseries } from '@grafana/grafana-foundation-sdk/timeseries';
import {
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  ReduceDataOptionsBuilder,
  VizLegendOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';

/** Of the 24 columns of a dashboard: three graphs, or six numbers, in a row. */
const GRAPH = { width: 8, height: 8 };
const NUMBER = { width: 4, height: 4 };
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };
/** Of a Prometheus that watches several clusters, each as a job of its own, one. */
const OF_CLUSTER = 'job=~"$job"';

/** Of a number that is neither good nor bad. Grafana's own default takes 80 of anything for bad. */
const PLAIN = [{ value: null, color: 'text' }];
/** @param {number} from on which somebody should look */
export const badFrom = (from) => [
  { value: null, color: 'green' },
  { value: from, color: 'red' },
];
/** @param {number} from on which all is well */
export const goodFrom = (from) => [
  { value: null, color: 'red' },
  { value: from, color: 'green' },
];

/**
 * @param {{uid: string, title: string, description: string, isByNode?: boolean, panels: readonly ((matchers: string) => object)[]}} page
 *   `isByNode`: it shows each node by itself, of which some can be chosen
 * @returns {object} as Grafana imports it
 */
export function dashboard({ uid, title, description, isByNode = false, panels }) {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['jarvis'])
    .timezone('browser')
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .readonly()
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'))
    .withVariable(chosen('job', 'Cluster', 'label_values(jarvis_build_info, job)'));
  const matchers = isByNode ? `${OF_CLUSTER}, instance=~"$node"` : OF_CLUSTER;
  if (isByNode)
    builder.withVariable(
      chosen('node', 'Node', `label_values(jarvis_build_info{${OF_CLUSTER}}, instance)`)
        .multi(true)
        .includeAll(true)
        .allValue('.*')
        .current({ text: 'All', value: '$__all' }),
    );
  for (const panel of panels) builder.withPanel(panel(matchers));
  return builder.build();
}

function chosen(name, label, query) {
  return new QueryVariableBuilder(name)
    .label(label)
    .query(query)
    .datasource(DATASOURCE)
    .refresh(VariableRefresh.OnDashboardLoad)
    .sort(VariableSort.AlphabeticalAsc);
}

/** Every metric of the expression with the matchers beside those that it has. */
function scoped(expression, matchers) {
  return expression.replaceAll(/\b((?:jarvis|scheduler|task|worker)_[a-z0-9_]+)(\{)?/g, (_, metric, brace) =>
    brace === undefined ? `${metric}{${matchers}}` : `${metric}{${matchers}, `,
  );
}

function queriesOf(queries, matchers) {
  return Object.entries(queries).map(([legend, expression], index) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode('A'.charCodeAt(0) + index))
      .expr(scoped(expression, matchers))
      .legendFormat(legend),
  );
}

function filled(panel, { title, text, unit, size, queries, steps }, matchers) {
  panel.title(title).description(text).unit(unit).datasource(DATASOURCE).span(size.width).height(size.height);
  panel.thresholds(new ThresholdsConfigBuilder().steps(steps));
  for (const query of queriesOf(queries, matchers)) panel.withTarget(query);
  return panel;
}

/**
 * @param {string} title
 * @param {string} text what the graph says, for whoever points at it
 * @param {string} unit of Grafana, such as `s`, `bytes`, `percent`
 * @param {Readonly<Record<string, string>>} queries PromQL by legend
 * @param {{line?: number, max?: number}} options a line is drawn where an alert of deploy/prometheus fires; the end of the axis
 */
export function graph(title, text, unit, queries, { line, max } = {}) {
  const legend = new VizLegendOptionsBuilder().displayMode('list').placement('bottom').showLegend(true);
  const steps = line === undefined ? PLAIN : [PLAIN[0], { value: line, color: 'red' }];
  return (matchers) => {
    const panel = filled(new Timeseries(), { title, text, unit, size: GRAPH, queries, steps }, matchers)
      .min(0)
      .fillOpacity(8)
      .legend(legend);
    if (max !== undefined) panel.max(max);
    if (line !== undefined)
      panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
    return panel;
  };
}

/** As {@link graph}, of the newest value alone. @param {readonly object[]} steps from which value on it has which colour */
export function number(title, text, unit, query, steps = PLAIN) {
  const newest = new ReduceDataOptionsBuilder().calcs(['lastNotNull']);
  const what = { title, text, unit, size: NUMBER, queries: { [title]: query }, steps };
  return (matchers) => filled(new Stat().reduceOptions(newest), what, matchers);
}

/** Quantiles of a histogram by their names. @param by labels beside `le`, such as `instance` */
export function quantiles(metric, by = []) {
  const labels = [...by, 'le'].join(', ');
  const of = (quantile) =>
    `histogram_quantile(${quantile}, sum by (${labels}) (rate(${metric}_bucket[$__rate_interval])))`;
  const prefix = by.map((label) => `{{${label}}} `).join('');
  return { [`${prefix}p50`]: of(0.5), [`${prefix}p99`]: of(0.99) };
}
