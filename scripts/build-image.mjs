// Makes the container image of a node from the build in dist/: `node scripts/build-image.mjs [--tag NAME] [--base IMAGE]`.
// It lays out what deploy/docker/Dockerfile copies (the programs, and of node_modules what they need at run time), and has
// the engine of `docker` build it. With `--base local` it needs no registry: the base is then made from programs of
// this machine, which has to be Debian or its kin with busybox: the Node.js of this project, busybox, and their
// libraries. Exit status 2: a wrong command line; 1: it could not be made.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const root = path.join(import.meta.dirname, '..');
const { version, bin } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const LOCAL = 'local';
const ACCOUNTS = 'root:x:0:0:root:/root:/bin/sh\njarvis:x:10001:10001:jarvis:/var/lib/jarvis:/bin/sh\n';
const GROUPS = 'root:x:0:\njarvis:x:10001:\n';

/** Lays out the context of the Dockerfile in `folder`. */
function layOut(folder) {
  const target = path.join(folder, 'jarvis');
  for (const name of Object.values(bin))
    if (!existsSync(path.join(root, name))) throw new Error(`${name} is not there: npm run build`);
  for (const name of ['dist', 'proto', 'schemas', 'package.json', 'LICENSE'])
    cpSync(path.join(root, name), path.join(target, name), { recursive: true });
  for (const name of runtimePackages()) copyPackage(name, target);
  cpSync(path.join(root, 'deploy/docker/healthcheck.mjs'), path.join(target, 'healthcheck.mjs'));
  mkdirSync(path.join(target, 'bin'));
  for (const [name, program] of Object.entries(bin))
    symlinkSync(path.join('..', program), path.join(target, 'bin', name));
  mkdirSync(path.join(folder, 'data'), { mode: 0o700 });
}

/** @returns {string[]} paths below the root, such as node_modules/a/node_modules/b */
function runtimePackages() {
  const { packages } = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  return Object.entries(packages)
    .filter(([name, { dev, devOptional }]) => name !== '' && dev !== true && devOptional !== true)
    .filter(([name, { optional }]) => {
      if (existsSync(path.join(root, name))) return true;
      // Optional ones are those for other platforms, too.
      if (optional === true) return false;
      throw new Error(`${name} is not there: npm ci`);
    })
    .map(([name]) => name);
}

/** Without the packages inside it: they have entries of their own, if they are needed. */
function copyPackage(name, target) {
  const from = realpathSync(path.join(root, name));
  const nested = path.join(from, 'node_modules');
  cpSync(from, path.join(target, name), { recursive: true, filter: (source) => source !== nested });
}

/** Lays out in `folder` the least system that a node and its tasks run in. */
function layOutSystem(folder) {
  const at = (name) => path.join(folder, name);
  for (const name of ['bin', 'etc', 'usr/bin', 'usr/local/bin', 'var/lib', 'root', 'proc', 'sys', 'dev'])
    mkdirSync(at(name), { recursive: true });
  mkdirSync(at('tmp'));
  chmodSync(at('tmp'), 0o1777);
  writeFileSync(at('etc/passwd'), ACCOUNTS);
  writeFileSync(at('etc/group'), GROUPS);
  writeFileSync(at('etc/nsswitch.conf'), 'hosts: files dns\n');
  const busybox = findProgram('busybox');
  copyProgram(busybox, 'bin/busybox', folder);
  for (const name of run(busybox, ['--list']).trim().split('\n'))
    if (name !== 'busybox') symlinkSync('busybox', at(`bin/${name}`));
  symlinkSync('/bin/busybox', at('usr/bin/env'));
  copyProgram(process.execPath, 'usr/local/bin/node', folder);
  // What bounds the memory of a process where there are no control groups.
  copyProgram(findProgram('prlimit'), 'usr/bin/prlimit', folder);
}

/** With the libraries that it is linked to, at their places; a static one has none. */
function copyProgram(program, name, folder) {
  copyFileSync(program, path.join(folder, name));
  for (const [, library] of librariesOf(program).matchAll(/(\/\S+) \(0x/g)) {
    const place = path.join(folder, library);
    mkdirSync(path.dirname(place), { recursive: true });
    copyFileSync(library, place);
  }
}

function librariesOf(program) {
  const { error, stdout } = spawnSync('ldd', [program], { encoding: 'utf8' });
  if (error !== undefined) throw new Error(`ldd ${program}: ${error.message}`);
  return stdout;
}

function findProgram(name) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).concat('/usr/bin', '/bin');
  const found = folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
  if (found === undefined) throw new Error(`${name} is not installed`);
  return found;
}

/** @returns {string} what it printed */
function run(program, args) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `${signal ?? status}\n${stderr}`}`);
}

/** @returns {string} the name of a base made of this machine's programs */
function importBase(folder, tag) {
  layOutSystem(folder);
  const name = `${tag.replace(/:[^:/]*$/, '')}-base:${version}`;
  const archive = `${folder}.tar`;
  run('tar', ['-C', folder, '--owner=0', '--group=0', '--numeric-owner', '-cf', archive, '.']);
  run('docker', ['import', archive, name]);
  return name;
}

/** @returns {{ tag: string, base?: string }} or null, and says so, where the command line is wrong */
function options() {
  try {
    const tag = { type: 'string', default: `jarvis:${version}` };
    return parseArgs({ options: { tag, base: { type: 'string' } } }).values;
  } catch (error) {
    console.error(`build-image: ${error.message}`);
    return null;
  }
}

/** Makes the image, using the empty directory `work`. */
function build(work, { tag, base }) {
  const context = path.join(work, 'context');
  layOut(context);
  const from = base === LOCAL ? importBase(path.join(work, 'base'), tag) : base;
  const args = ['build', '--tag', tag, '--file', path.join(root, 'deploy/docker/Dockerfile')];
  if (from !== undefined) args.push('--build-arg', `BASE=${from}`);
  const { status, error } = spawnSync('docker', [...args, context], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`docker build: ${error?.message ?? `exit ${status}`}`);
  console.log(`${tag} is there`);
}

const given = options();
if (given === null) {
  process.exitCode = 2;
} else {
  const work = mkdtempSync(path.join(tmpdir(), 'jarvis-image-'));
  try {
    build(work, given);
  } catch (error) {
    console.error(`build-image: ${error.message}`);
    process.exitCode = 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
