/**
 * Runs the public test scripts of a Raft core against ours, and judges each file twice: by outcome (the nodes' states
 * and logs agree wherever the script states them) and strictly (every line but the library's log agrees).
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';

import { ConfChangeScript } from './confchange-script.ts';
import { Arguments, parseScript, type Directive } from './datadriven.ts';
import { describeConfiguration } from './describe.ts';
import { readFacts, withoutLog } from './facts.ts';
import { InteractionScript } from './interaction-script.ts';
import { runQuorum } from './quorum-script.ts';

export interface FileResult {
  /** Below the scripts' directory. */
  readonly file: string;
  readonly directives: number;
  /** Directives whose every line agrees. */
  readonly agreeing: number;
  /** What makes the outcome differ; empty where it agrees. */
  readonly outcomeFaults: readonly string[];
  readonly strictFaults: readonly string[];
}

export interface ScriptLocation {
  readonly directory: string;
  /** Named in the environment: then it must hold scripts. */
  readonly isNamed: boolean;
}

export function locateScripts(environment: NodeJS.ProcessEnv): ScriptLocation {
  const named = environment['RAFT_CONFORMANCE_DIR'];
  if (named !== undefined && named !== '') return { directory: named, isNamed: true };
  const beside = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'conformance', 'raft');
  return { directory: beside, isNamed: false };
}

/** Paths below the directory, sorted; null where it does not exist. */
export function listScripts(directory: string): readonly string[] | null {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return null;
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.txt')).sort();
}

export function runScript(directory: string, file: string): FileResult {
  return judgeScript(file, readFileSync(path.join(directory, file), 'utf8'));
}

interface Verdict {
  readonly outcomeFaults: readonly string[];
  readonly actual: readonly string[];
}

export function judgeScript(file: string, text: string): FileResult {
  const outcomeFaults: string[] = [];
  const strictFaults: string[] = [];
  let directives: readonly Directive[] = [];
  let agreeing = 0;
  try {
    directives = parseScript(text);
    const judge = judgeFor(directives[0]);
    for (const directive of directives) {
      const where = `${file}:${directive.line} ${directive.name}`;
      const verdict = judge(directive);
      outcomeFaults.push(...verdict.outcomeFaults.map((fault) => `${where}: ${fault}`));
      const difference = firstDifference(withoutLog(directive.expected), withoutLog(verdict.actual));
      if (difference === null) agreeing += 1;
      else strictFaults.push(`${where}: ${difference}`);
    }
  } catch (error) {
    outcomeFaults.push(`${file}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
  return { file, directives: directives.length, agreeing, outcomeFaults, strictFaults };
}

function judgeFor(first: Directive | undefined): (directive: Directive) => Verdict {
  switch (first?.name) {
    case undefined:
      throw new Error('there is no directive in the file');
    case 'committed':
    case 'vote':
      return (directive) => {
        const actual = runQuorum(directive);
        const expected = directive.expected.at(-1)?.trim() ?? '';
        const agrees = actual.at(-1) === expected;
        return { actual, outcomeFaults: agrees ? [] : [`expected ${expected}, got ${actual.at(-1)}`] };
      };
    case 'simple':
    case 'enter-joint':
    case 'leave-joint': {
      const script = new ConfChangeScript();
      return (directive) => {
        const actual = script.run(directive);
        const difference = firstDifference(withoutLog(directive.expected), actual);
        return { actual, outcomeFaults: difference === null ? [] : [difference] };
      };
    }
    default:
      return interactionJudge();
  }
}

/** Directives that print a node's state itself: there the lines are the outcome. */
const STATE_DIRECTIVES = new Set(['raft-log', 'raft-state', 'status']);

function interactionJudge(): (directive: Directive) => Verdict {
  const script = new InteractionScript();
  /** The newest of each fact since the script began: the actual one may have come with an earlier directive. */
  const known = new Map<string, string>();
  return (directive) => {
    const { output, quiet } = script.run(directive);
    const node = new Arguments(directive).bare[0] ?? '';
    const actual = readFacts(output, node);
    for (const [fact, value] of actual.values) known.set(fact, value);
    for (const { id, core } of script.nodes) {
      known.set(`${id} configuration`, describeConfiguration(core.confState));
    }
    if (quiet) return { actual: ['ok'], outcomeFaults: [] };
    const faults: string[] = [];
    const expected = readFacts(directive.expected, node);
    for (const [fact, value] of expected.values) {
      const found = known.get(fact);
      if (found !== value) faults.push(`node ${fact}: expected ${value}, got ${found}`);
    }
    for (const id of new Set([...expected.committed.keys(), ...actual.committed.keys()])) {
      const [wanted, found] = [expected.committed.get(id) ?? [], actual.committed.get(id) ?? []];
      const difference = firstDifference(wanted, found);
      if (difference !== null) faults.push(`node ${id} committed: ${difference}`);
    }
    if (STATE_DIRECTIVES.has(directive.name)) {
      const difference = firstDifference(withoutLog(directive.expected), withoutLog(output));
      if (difference !== null) faults.push(difference);
    }
    return { actual: output, outcomeFaults: faults };
  };
}

function firstDifference(expected: readonly string[], actual: readonly string[]): string | null {
  const length = Math.max(expected.length, actual.length);
  for (let at = 0; at < length; at += 1) {
    const [wanted, found] = [expected[at]?.trimEnd(), actual[at]?.trimEnd()];
    if (wanted === found || (length === 1 && wanted === 'ok (quiet)' && found === 'ok')) continue;
    return `line ${at + 1}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(found)}`;
  }
  return null;
}
