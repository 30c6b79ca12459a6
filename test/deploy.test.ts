/** What stands beside the program in deploy/: that every alert can be understood, is tested, and routed. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

import { FAMILY_GROUPS } from '../src/metrics/families/table.ts';

const root = path.join(import.meta.dirname, '..');
const deploy = path.join(root, 'deploy');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RuleTest {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string;
      readonly exp_alerts: readonly unknown[];
    }[];
  }[];
}

interface Panel {
  readonly title: string;
  readonly description: string;
  readonly fieldConfig: {
    readonly defaults: { readonly thresholds?: { readonly steps: readonly unknown[] } };
  };
  readonly targets: readonly { readonly expr: string }[];
}

function read(...names: readonly string[]): string {
  return readFileSync(path.join(deploy, ...names), 'utf8');
}

const rules = (parse(read('prometheus', 'rules.yml')) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);

describe('alert rules', () => {
  it.each(rules.map((rule) => [rule.alert, rule] as const))(
    '%s says how bad it is and what to do',
    (_name, rule) => {
      expect(['warning', 'critical']).toContain(rule.labels['severity']);
      expect(rule.annotations).toMatchObject({
        summary: expect.stringMatching(/\S/),
        description: expect.stringMatching(/\S/),
      });
      const [file = '', anchor = ''] = rule.annotations['runbook_url']?.split('#') ?? [];
      const headings = readFileSync(path.join(root, file), 'utf8').matchAll(/^#+ (.+)$/gm);
      expect([...headings].map(([, title = '']) => title.toLowerCase())).toContain(anchor);
    },
  );

  it('are each seen to fire and to keep quiet by a test', () => {
    const folder = path.join(deploy, 'prometheus', 'tests');
    const seen = readdirSync(folder).flatMap((file) =>
      (parse(readFileSync(path.join(folder, file), 'utf8')) as RuleTest).tests.flatMap(
        (test) => test.alert_rule_test,
      ),
    );
    const firing = seen
      .filter(({ exp_alerts: alerts }) => alerts.length > 0)
      .map(({ alertname }) => alertname);
    expect(new Set(firing)).toEqual(new Set(rules.map(({ alert }) => alert)));
  });

  it('have names of their own', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });
});

/** Series that a query names, without what a histogram makes of its name. */
function namesIn(expression: string): readonly string[] {
  const names = expression.match(/\b(?:jarvis|scheduler|task|worker)_[a-z0-9_]+/g) ?? [];
  return names.filter((name) => !LABELS.has(name)).map((name) => name.replace(/_(bucket|sum|count)$/, ''));
}

const FAMILIES = Object.values(FAMILY_GROUPS).flatMap((group) => Object.values(group.families));
const NAMES = new Set<string>(FAMILIES.map(({ name }) => name));
const LABELS = new Set<string>(FAMILIES.flatMap(({ labels }) => labels ?? []));

describe('what rules and dashboards ask for', () => {
  it('is what nodes tell', () => {
    const dashboards = readdirSync(path.join(deploy, 'grafana')).flatMap((name) => {
      const { panels } = JSON.parse(read('grafana', name)) as { readonly panels: readonly Panel[] };
      return panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    });
    const asked = [...rules.map(({ expr }) => expr), ...dashboards].flatMap(namesIn);
    expect(asked.length).toBeGreaterThan(80);
    expect(asked.filter((name) => !NAMES.has(name))).toEqual([]);
  });
});

describe('dashboards', () => {
  const names = readdirSync(path.join(deploy, 'grafana'));
  it.each(names)('%s has panels that say what they show, of the chosen Prometheus', (name) => {
    const { panels } = JSON.parse(read('grafana', name)) as { readonly panels: readonly Panel[] };
    expect(panels.length).toBeGreaterThan(0);
    for (const panel of panels) {
      expect(panel).toMatchObject({
        title: expect.stringMatching(/\S/),
        description: expect.stringMatching(/\S/),
        datasource: { type: 'prometheus', uid: '${datasource}' },
      });
      expect(panel.targets.length).toBeGreaterThan(0);
    }
  });

  it.each(names)('%s asks for one cluster where a Prometheus watches several', (name) => {
    const { panels, templating } = JSON.parse(read('grafana', name)) as {
      readonly panels: readonly Panel[];
      readonly templating: { readonly list: readonly { readonly name: string }[] };
    };
    const variables = templating.list.map((variable) => variable.name);
    expect(variables.slice(0, 2)).toEqual(['datasource', 'job']);
    for (const { expr } of panels.flatMap(({ targets }) => targets)) {
      const metrics = namesIn(expr);
      expect(metrics.length).toBeGreaterThan(0);
      expect(expr.match(/\{job=~"\$job"/g)).toHaveLength(metrics.length);
      for (const [, used = ''] of expr.matchAll(/"\$([a-z]+)"/g)) expect(variables).toContain(used);
    }
  });

  it.each(names)(
    '%s has numbers whose colour means something: by itself Grafana takes 80 of anything for bad',
    (name) => {
      const { panels } = JSON.parse(read('grafana', name)) as { readonly panels: readonly Panel[] };
      const said = panels.map(({ fieldConfig }) => fieldConfig.defaults.thresholds?.steps.length ?? 0);
      expect(said.filter((steps) => steps === 0)).toEqual([]);
    },
  );
});
