#!/usr/bin/env node
/**
 * A provider for `autoscaling.provider: command` (docs/providers.md), which makes instances of nothing but lines in a file: to try
 * the protocol, and to write another one from. All three settings name it:
 *
 *     autoscaling:
 *       provider: command
 *       command: {add: [./file-cloud.mjs, cloud], remove: [./file-cloud.mjs, cloud], list: [./file-cloud.mjs, cloud]}
 *
 * A cloud has what this keeps: a file for each instance in the directory that it is given, named by its client token.
 */
import { linkSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [directory] = process.argv.slice(2);
const request = JSON.parse(readFileSync(0, 'utf8'));

function fail(kind, message) {
  process.stdout.write(JSON.stringify({ error: { kind, message } }));
  process.exit(1);
}

function instances() {
  const names = readdirSync(directory).filter((name) => !name.startsWith('.'));
  return names.flatMap((name) => {
    try {
      return [JSON.parse(readFileSync(path.join(directory, name), 'utf8'))];
    } catch (error) {
      // It was ended just now.
      if (error.code === 'ENOENT') return [];
      throw error;
    }
  });
}

function create({ client_token: clientToken, cluster_id: clusterId, node }) {
  // A real one starts a machine here, whose first start runs
  //   jarvisd --name NODE --join JOIN[,JOIN] --join-token-file FILE …
  // and hands it the join token where no list of processes shows it. Its tags are kept with it.
  const instance = {
    id: `i-${clientToken}`,
    client_token: clientToken,
    node,
    cluster_id: clusterId,
    state: 'running',
  };
  // Whole, or not at all, for whoever lists meanwhile.
  const draft = path.join(directory, `.${clientToken}.${process.pid}`);
  writeFileSync(draft, JSON.stringify({ ...instance, launched_at_ms: Date.now() }));
  try {
    // Fails where it is there already: the same client token never makes two.
    linkSync(draft, path.join(directory, clientToken));
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
  const kept = instances().find((each) => each.client_token === clientToken);
  if (kept.node !== node) fail('invalid', `${clientToken} is of node ${kept.node}`);
  return { instance: kept };
}

function list({ cluster_id: clusterId }) {
  return { instances: instances().filter((each) => each.cluster_id === clusterId) };
}

function terminate({ cluster_id: clusterId, id }) {
  const found = instances().find((each) => each.id === id);
  // What is gone already is fine, and what is another cluster's is let be.
  if (found?.cluster_id === clusterId) rmSync(path.join(directory, found.client_token), { force: true });
  return {};
}

if (directory === undefined) fail('invalid', 'the directory of the cloud is missing among the arguments');
mkdirSync(directory, { recursive: true });
const verb = { create, list, terminate }[request.verb];
if (verb === undefined) fail('invalid', `unknown verb ${request.verb}`);
process.stdout.write(JSON.stringify(verb(request)));
