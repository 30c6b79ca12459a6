import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';

import { isConnectionOption } from './options.ts';
import { createProgram } from './program.ts';
import { TestTerminal, runInProcess } from './run-cli.test-kit.ts';

const ROOT = path.join(import.meta.dirname, '..', '..');

function dial(): never {
  throw new Error('nothing is to be asked');
}

function newProgram(): Command {
  return createProgram({ terminal: new TestTerminal(), dial, exitStatus: 0 });
}

function visible(command: Command): readonly Command[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help');
}

/** Each with the words that lead to it. */
function leavesOf(command: Command, words: readonly string[] = []): readonly (readonly [string, Command])[] {
  const children = visible(command);
  if (children.length === 0) return [[words.join(' '), command]];
  return children.flatMap((child) => leavesOf(child, [...words, child.name()]));
}

/** Also those that do something themselves and have commands of their own, such as `cluster join-token`. */
function actingIn(command: Command, words: readonly string[] = []): readonly (readonly [string, Command])[] {
  const children = visible(command);
  const isActing = children.length === 0 || (words.length > 1 && command.options.some(isConnectionOption));
  const own: readonly (readonly [string, Command])[] = isActing ? [[words.join(' '), command]] : [];
  return [...own, ...children.flatMap((child) => actingIn(child, [...words, child.name()]))];
}

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => 80 });
  command.outputHelp();
  return text;
}

function examplesOf(command: Command): readonly string[] {
  return helpOf(command)
    .split('\n')
    .flatMap((line) => (line.startsWith('  $ ') ? [line.slice(4)] : []));
}

/** The command lines of an example, those within it too, as a shell would take them apart. */
function commandLines(example: string): readonly (readonly string[])[] {
  const inner = [...example.matchAll(/[$<]\((jarvisctl [^)]*)\)/g)].flatMap(([, line]) => line ?? []);
  const outer = example
    .replaceAll(/\$\([^)]*\)/g, 'some-id')
    .replace(/^source <\(some-id\)$/, '')
    .replace(/ [|<>] .*$/, '');
  return [...inner, outer]
    .filter((line) => line.startsWith('jarvisctl '))
    .map((line) =>
      [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
        ([, single, double, bare]) => single ?? double ?? bare ?? '',
      ),
    );
}

/** Parses it and does nothing. @returns the command that was meant */
async function parse(words: readonly string[]): Promise<string> {
  const program = newProgram();
  let meant = '';
  for (const [name, command] of actingIn(program)) command.action(() => void (meant = name));
  try {
    await program.parseAsync(words.slice(1), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
    meant = 'help';
  }
  return meant;
}

const leaves = leavesOf(newProgram());

describe('--help', () => {
  it.each(leaves)('of "%s" has a description and examples that parse as that command', async (name, leaf) => {
    expect(leaf.description()).toMatch(/^[A-Z].*\.$/);
    const examples = examplesOf(leaf);
    expect(examples).not.toEqual([]);
    const lines = examples.flatMap(commandLines);
    expect(lines).not.toEqual([]);
    const meant = await Promise.all(lines.map(parse));
    expect(meant).toContain(name);
    for (const file of examples.join(' ').matchAll(/examples\/\S+/g))
      expect(existsSync(path.join(ROOT, file[0]))).toBe(true);
  });

  it.each(leaves)('of "%s" fits 80 columns, its examples excepted', (_name, leaf) => {
    const wide = helpOf(leaf)
      .split('\n')
      .filter((line) => line.length > 80 && !line.startsWith('  $ '));
    expect(wide).toEqual([]);
  });

  it.each(leaves)('of "%s" says of every option what it is for', (_name, leaf) => {
    const unsaid = leaf.options.filter(({ description }) => description === '').map(({ flags }) => flags);
    expect(unsaid).toEqual([]);
  });

  it('of the program begins with what to type first', async () => {
    for (const words of examplesOf(newProgram()).flatMap(commandLines))
      expect(await parse(words)).not.toBe('');
  });
});

describe('the documentation', () => {
  const pages = ['README.md', ...readdirSync(path.join(ROOT, 'docs')).map((name) => `docs/${name}`)].filter(
    (name) => name.endsWith('.md') && name !== 'docs/cli.md',
  );

  it.each(pages)('%s shows only command lines that there are', async (page) => {
    const text = readFileSync(path.join(ROOT, page), 'utf8');
    const blocks = [...text.matchAll(/```(?:console|sh|bash)\n([\s\S]*?)```/g)].flatMap(
      ([, block]) => block ?? [],
    );
    const lines = blocks
      .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
      .map((line) =>
        line
          .replace(/^\$ /, '')
          .replace(/^(npx )?jarvisctl /, 'jarvisctl ')
          .replace(/ +#.*$/, ''),
      )
      .filter((line) => line.startsWith('jarvisctl '))
      .flatMap(commandLines);
    for (const line of lines) expect({ line, meant: await parse(line) }).not.toEqual({ line, meant: '' });
  });
});

describe('what is not known', () => {
  it.each([
    ['lst', 'Did you mean ls?'],
    ['dag grpah x', 'Did you mean graph?'],
    ['ls --statsu RUNNING', 'Did you mean --status?'],
    ['ls -o tabel', 'Did you mean table?'],
    ['ls --status RUNING', 'Did you mean RUNNING?'],
    ['events --kind taks', 'Did you mean task?'],
    ['dag graph x --format mermiad', 'Did you mean mermaid?'],
    ['completion bsh', 'Did you mean bash?'],
    ['run --priority hihg -- x', 'Did you mean high?'],
  ])('"%s" is answered with what was probably meant', async (words, hint) => {
    const { status, stderr, stdout } = await runInProcess(words.split(' '));
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^jarvisctl: [^\n]+\n$/);
    expect(stderr).toContain(hint);
  });
});
