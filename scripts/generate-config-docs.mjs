// Fills the tables of docs/configuration.md from the code that reads the settings; with --check it only says whether what is checked in is
// current. The text around them is written by hand.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { CONFIG_KEYS, rawSchema } from '../src/agent/config-schema.ts';
import { createCommand } from '../src/agent/jarvisd.ts';
import { PATH_RULE, POLICY_MEANINGS, policySchema } from '../src/agent/policy-config.ts';
import { NAME_RULE } from '../src/lib/names.ts';
import { formatDurationMs, formatMemoryBytes } from '../src/lib/quantities.ts';
import { inputSchemaOf } from '../src/spec/json-schemas.ts';
import { defaultSettings, describedSettings, SETTING_NAMES } from '../src/spec/settings/settings.ts';
import { table } from './markdown-table.mjs';

const target = path.join(import.meta.dirname, '..', 'docs', 'configuration.md');

/** What counts where nothing is said, of settings whose default the schema cannot know. */
const DEFAULT_WORDS = {
  advertise: '`listen`',
  peers: 'none: this or `join`',
  join: 'none: this or `peers`',
  capacity: 'measured',
  drivers: '`process`, and `docker` where an engine answers',
  'membership.voters': 'as many as `peers`',
};

/** How numbers may be written. Only one of them is read as the very number. */
const WAYS = [formatDurationMs, (bytes) => `${formatMemoryBytes(bytes)}B/s`, formatMemoryBytes, Number];

function written(value, schema) {
  for (const way of WAYS) {
    const text = way(value);
    const back = schema.safeParse(text);
    if (back.success && back.data === value) return String(text);
  }
  throw new Error(`${value} is not how its own setting would read it`);
}

function isNothing(value) {
  return (
    value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
  );
}

/** @param value of the model @param name of the setting */
function defaultOf(name, value, schema) {
  const words = DEFAULT_WORDS[name];
  if (words !== undefined) return words;
  if (isNothing(value)) return 'none';
  if (typeof value === 'number') return `\`${written(value, schema)}\``;
  return Array.isArray(value) ? value.map((one) => `\`${one}\``).join(', ') : `\`${value}\``;
}

function bounds({ minimum, maximum }) {
  return `${minimum ?? ''} to ${maximum >= 1e12 ? '10^12' : maximum}`;
}

/** Kinds that the page explains once. */
const KINDS = [
  [/^seconds, or a duration such as [^;]*/, 'duration'],
  [/^bytes, or a quantity such as [^;]*/, 'size'],
  [/^cores such as [^;]*/, 'cpu'],
  [PATH_RULE, 'absolute path'],
  [NAME_RULE, 'names'],
];

/** What a JSON Schema allows, in words. */
function allowedOf(json) {
  if (json.description !== undefined)
    return KINDS.reduce((text, [words, kind]) => text.replace(words, kind), json.description);
  if (json.anyOf !== undefined) {
    const choices = json.anyOf.filter(({ type }) => type !== 'null').map(allowedOf);
    return [...new Set(choices)].join(', or ');
  }
  if (json.enum !== undefined) return [...new Set(json.enum.map((one) => `\`${one}\``))].join(', ');
  switch (json.type) {
    case 'boolean':
      return '`true`, `false`';
    case 'integer':
      return bounds(json);
    case 'number':
      return `number, ${bounds(json)}`;
    case 'array':
      return `list${json.maxItems === undefined ? '' : ` of at most ${json.maxItems}`}: ${allowedOf(json.items)}`;
    case 'object':
      return 'map';
    case 'string':
      if (json.format === 'uri') return 'http:// or https://';
      return `text${json.maxLength === undefined ? '' : ` of at most ${json.maxLength} characters`}`;
    default:
      throw new Error(`nothing is known of what is allowed: ${JSON.stringify(json)}`);
  }
}

/** @param rows of cells; the first are the headings */
const flags = new Map(
  createCommand().options.map((option) => [
    option.attributeName().replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    option,
  ]),
);

function flagOf(key) {
  const flag = flags.get(key);
  if (flag === undefined) throw new Error(`jarvisd has no flag for the setting ${key}`);
  return flag;
}

/** What a flag says of itself, without its default, which has a column. @throws where it names another than counts */
function meaningOf(key, standard) {
  const { description } = flagOf(key);
  const said = /\(default: ([^;)]+)(?:; ([^)]*))?\)/.exec(description);
  if (said === null) return linked(description);
  const [clause, named, more] = said;
  if (named.replaceAll('`', '') !== standard.replaceAll('`', ''))
    throw new Error(`--help says that the default of ${key} is ${named}; it is ${standard}`);
  return linked(description.replace(clause, more === undefined ? '' : `(${more})`).trim());
}

function linked(text) {
  return text.replaceAll(/docs\/([a-z-]+\.md)/g, '[$1]($1)');
}

function defaultOfNode(key, schema) {
  const result = schema.safeParse(undefined);
  return result.success ? defaultOf(key, result.data, schema) : 'required';
}

function nodeTable() {
  const own = CONFIG_KEYS.filter((key) => key !== 'policy' && !SETTING_NAMES.includes(key));
  const { properties } = inputSchemaOf(rawSchema);
  const rows = own.map((key) => {
    const standard = defaultOfNode(key, rawSchema.shape[key]);
    return [
      `\`${key}\``,
      `\`${flagOf(key).long}\``,
      standard,
      allowedOf(properties[key]),
      meaningOf(key, standard),
    ];
  });
  return table([['key in the file', 'flag', 'default', 'allowed', 'meaning'], ...rows]);
}

/** Every setting of the policy, those of its maps by their paths. */
function policyFields(shape, json, prefix = '') {
  return Object.entries(shape).flatMap(([name, schema]) => {
    const full = `${prefix}${name}`;
    const inner = schema.def.type === 'prefault' ? schema.unwrap() : null;
    if (inner !== null) return policyFields(inner.shape, json.properties[name], `${full}.`);
    return [{ name: full, schema, json: json.properties[name] }];
  });
}

function policyTable() {
  const fields = policyFields(policySchema.in.shape, inputSchemaOf(policySchema));
  const unknown = Object.keys(POLICY_MEANINGS).filter((name) => !fields.some((field) => field.name === name));
  if (unknown.length > 0) throw new Error(`no settings of the policy: ${unknown.join(', ')}`);
  const rows = fields.map(({ name, schema, json }) => [
    `\`${name}\``,
    defaultOfNode(`policy.${name}`, schema),
    allowedOf(json),
    POLICY_MEANINGS[name],
  ]);
  return table([['key', 'default', 'allowed', 'meaning'], ...rows]);
}

/** What stands within a setting that is a map, or a list of maps. */
function innerRows(name, json) {
  const given = json.anyOf?.find(({ type }) => type !== 'null') ?? json;
  if (given.type === 'array') return innerRows(`${name}[]`, given.items);
  const { properties = {}, required = [] } = given;
  return Object.entries(properties).flatMap(([field, inner]) => {
    const full = `${name}.${field}`;
    const { title = '' } = inner.anyOf === undefined ? inner : { ...inner.anyOf[0], ...inner };
    const row = [`\`${full}\``, required.includes(field) ? 'required' : 'none', allowedOf(inner), title];
    return [row, ...innerRows(full, inner)];
  });
}

function clusterTable() {
  const rows = Object.values(describedSettings(defaultSettings(3)))
    .flat()
    .flatMap(({ name, schema, value, meaning }) => {
      const json = inputSchemaOf(schema);
      return [
        [`\`${name}\``, defaultOf(name, value, schema), allowedOf(json), meaning],
        ...innerRows(name, json),
      ];
    });
  return table([['setting', 'default', 'allowed', 'meaning'], ...rows]);
}

const TABLES = { node: nodeTable, policy: policyTable, cluster: clusterTable };

const present = readFileSync(target, 'utf8');
const filled = Object.entries(TABLES).reduce((page, [name, made]) => {
  const place = new RegExp(`(<!-- made: ${name} -->\\n)[^]*?(\\n<!-- end -->)`);
  if (!place.test(page)) throw new Error(`docs/configuration.md has no place for the table "${name}"`);
  return page.replace(place, (_, begin, end) => `${begin}\n${made()}\n${end}`);
}, present);
if (!process.argv.includes('--check')) {
  writeFileSync(target, filled);
} else if (filled !== present) {
  console.error('docs/configuration.md is not current: run npm run docs');
  process.exitCode = 1;
}
