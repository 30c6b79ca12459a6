// What the panels of all dashboards have in common: how a query becomes a graph, a number or a table.
import { DashboardBuilder, DatasourceVariableBuilder } from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as Timeseries } from '@grafana/grafana-foundation-sdk/timeseries';
import { ReduceDataOptionsBuilder, VizLegendOptionsBuilder } from '@grafana/grafana-foundation-sdk/common';

/** Of the 24 columns of a dashboard: three graphs, or six numbers, in a row. */
const GRAPH = { width: 8, height: 8 };
const NUMBER = { width: 4, height: 4 };
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/**
 * @param {{uid: string, title: string, description: string, panels: readonly object[]}} page
 * @returns {object} as Grafana imports it
 */
export function dashboard({ uid, title, description, panels }) {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(['jarvis'])
    .timezone('browser')
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .readonly()
    .withVariable(new DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'));
  for (const panel of panels) builder.withPanel(panel);
  return builder.build();
}

function queriesOf(queries) {
  return Object.entries(queries).map(([legend, expression], index) =>
    new DataqueryBuilder()
      .refId(String.fromCharCode('A'.charCodeAt(0) + index))
      .expr(expression)
      .legendFormat(legend),
  );
}

function filled(panel, { title, text, unit, size, queries }) {
  panel.title(title).description(text).unit(unit).datasource(DATASOURCE).span(size.width).height(size.height);
  for (const query of queriesOf(queries)) panel.withTarget(query);
  return panel;
}

/**
 * @param {string} title
 * @param {string} text what the graph says, for whoever points at it
 * @param {string} unit of Grafana, such as `s`, `bytes`, `percent`
 * @param {Readonly<Record<string, string>>} queries PromQL by legend
 */
export function graph(title, text, unit, queries) {
  const legend = new VizLegendOptionsBuilder().displayMode('list').placement('bottom').showLegend(true);
  return filled(new Timeseries(), { title, text, unit, size: GRAPH, queries })
    .min(0)
    .fillOpacity(8)
    .legend(legend);
}

/** As {@link graph}, of the newest value alone. */
export function number(title, text, unit, query) {
  const newest = new ReduceDataOptionsBuilder().calcs(['lastNotNull']);
  return filled(new Stat().reduceOptions(newest), {
    title,
    text,
    unit,
    size: NUMBER,
    queries: { [title]: query },
  });
}

/** Quantiles of a histogram by their names. @param by labels beside `le`, such as `instance` */
export function quantiles(metric, by = []) {
  const labels = [...by, 'le'].join(', ');
  const of = (quantile) =>
    `histogram_quantile(${quantile}, sum by (${labels}) (rate(${metric}_bucket[$__rate_interval])))`;
  const prefix = by.map((label) => `{{${label}}} `).join('');
  return { [`${prefix}p50`]: of(0.5), [`${prefix}p99`]: of(0.99) };
}
