/** What the simulated disk keeps over a power cut: tests of the log and the simulator are worth no more than this. */
import { describe, expect, it } from 'vitest';

import { seededRandom } from '../../lib/random.ts';
import { SimulatedLogFiles } from './simulated-log-files.test-kit.ts';

const DIRECTORY = '/log';
const SEEDS = 200;

/** A file that is durable, contents and name. */
function withFile(name: string, content = 'old'): SimulatedLogFiles {
  const files = new SimulatedLogFiles();
  files.makeDirectory(DIRECTORY);
  files.syncDirectory('/');
  create(files, name, content);
  files.syncDirectory(DIRECTORY);
  return files;
}

/** Its contents are synced, its name is not. */
function create(files: SimulatedLogFiles, name: string, content: string): void {
  const handle = files.open(`${DIRECTORY}/${name}`, 'create');
  files.write(handle, [Buffer.from(content)], 0);
  files.syncData(handle);
  files.close(handle);
}

function contents(files: SimulatedLogFiles): string {
  const names = [...files.list(DIRECTORY)].sort();
  return names.map((name) => `${name}=${files.bytes(`${DIRECTORY}/${name}`).toString()}`).join(' ');
}

/** All that a power cut may leave. */
function outcomes(prepare: () => SimulatedLogFiles): string[] {
  const seen = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const files = prepare();
    files.powerCut(seededRandom(seed));
    seen.add(contents(files));
  }
  return [...seen].sort();
}

describe('names that were not synced', () => {
  it('are there or not, although the file itself was synced', () => {
    const made = outcomes(() => {
      const files = withFile('a');
      create(files, 'b', 'new');
      return files;
    });
    expect(made).toEqual(['a=old', 'a=old b=new']);
  });

  it('go back to the old name, as a whole', () => {
    const renamed = outcomes(() => {
      const files = withFile('a');
      files.rename(`${DIRECTORY}/a`, `${DIRECTORY}/b`);
      return files;
    });
    expect(renamed).toEqual(['a=old', 'b=old']);
  });

  it('are those of what was replaced, or of what replaced it', () => {
    const replaced = outcomes(() => {
      const files = withFile('a');
      create(files, 'a.tmp', 'new');
      files.rename(`${DIRECTORY}/a.tmp`, `${DIRECTORY}/a`);
      return files;
    });
    expect(replaced).toEqual(['a=new', 'a=old', 'a=old a.tmp=new']);
  });

  it('come back when they were removed', () => {
    const removed = outcomes(() => {
      const files = withFile('a');
      files.remove(`${DIRECTORY}/a`);
      return files;
    });
    expect(removed).toEqual(['', 'a=old']);
  });

  it('are independent of each other', () => {
    const both = outcomes(() => {
      const files = withFile('a');
      files.remove(`${DIRECTORY}/a`);
      create(files, 'b', 'new');
      return files;
    });
    expect(both).toEqual(['', 'a=old', 'a=old b=new', 'b=new']);
  });

  it('are nothing where the directory itself was not synced into the one above', () => {
    const inside = outcomes(() => {
      const files = new SimulatedLogFiles();
      files.makeDirectory(DIRECTORY);
      create(files, 'a', 'new');
      files.syncDirectory(DIRECTORY);
      return files;
    });
    expect(inside).toEqual(['', 'a=new']);
  });

  it('are durable once the directory is synced', () => {
    const synced = outcomes(() => {
      const files = withFile('a');
      create(files, 'b', 'new');
      files.rename(`${DIRECTORY}/a`, `${DIRECTORY}/c`);
      files.syncDirectory(DIRECTORY);
      return files;
    });
    expect(synced).toEqual(['b=new c=old']);
  });
});

function lying(): SimulatedLogFiles {
  const files = withFile('a');
  files.lies = () => true;
  create(files, 'b', 'new');
  files.syncDirectory(DIRECTORY);
  return files;
}

describe('a disk that lies', () => {
  it('loses at a power cut what it acknowledged', () => {
    const files = lying();
    files.powerCut(() => 0, { fateOf: () => 'none' });
    expect(contents(files)).toBe('a=old');
  });

  it('may have kept all of it, or the name of a file without its contents', () => {
    expect(outcomes(lying)).toEqual(['a=old', 'a=old b=', 'a=old b=new']);
  });

  it('keeps what it wrote back before', () => {
    const files = lying();
    files.writeBack();
    files.powerCut(() => 1, { fateOf: () => 'none' });
    expect(contents(files)).toBe('a=old b=new');
  });
});
