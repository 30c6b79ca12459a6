/** `jarvisctl cert init|issue|show`: the certificate authority of a cluster as files, and what it signs. */
import { X509Certificate } from 'node:crypto';

import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';

import { JarvisError } from '../../lib/errors.ts';
import { authorityHash, certificatesIn, datedIdentityOf } from '../../lib/tls-files.ts';
import { listToJson } from '../../spec/json.ts';
import { checkFree, pairIn, readPair, readPem, writePair } from '../certificate-files.ts';
import type { Context } from '../context.ts';
import { addExamples, collectList, outputOption } from '../options.ts';
import type { OutputOptions } from '../options.ts';
import { printAnswer } from '../output/format.ts';
import type { Answer } from '../output/format.ts';
import { notify, printable } from '../terminal.ts';
import type { Terminal } from '../terminal.ts';

const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
const CERTIFICATE_DAYS = 365;
const MOST_DAYS = 36_500;
const DEFAULT_DIRECTORY = 'certs';
const AUTHORITY = 'ca';

interface FileOptions extends OutputOptions {
  readonly dir: string;
  readonly days: number;
  readonly force?: true;
}

interface IssueOptions extends FileOptions {
  readonly name: string;
  readonly host?: readonly string[];
  readonly client?: true;
}

export function registerCert(program: Command, context: Context): void {
  const parent = program
    .command('cert')
    .description('The certificates of a cluster: its authority, and those of nodes and clients.');
  registerInit(parent, context);
  registerIssue(parent, context);
  registerShow(parent, context);
}

function registerInit(parent: Command, { terminal }: Context): void {
  const command = withFiles(
    parent.command('init').description('Make a certificate authority: ca.crt for everybody, ca.key to keep.'),
    AUTHORITY_DAYS,
  ).action(async ({ dir, days, force, output }: FileOptions) => {
    const files = pairIn(dir, AUTHORITY);
    checkFree(files, force === true);
    const { createAuthority, validFor } = await import('../../lib/certificates.ts');
    writePair(files, await createAuthority(validFor(Date.now(), days * DAY_MS)));
    await print(terminal, output, shownIn(files.certificate));
    await notify(terminal, `${files.key} signs certificates of this cluster: keep it apart from its nodes`);
  });
  addExamples(command, 'jarvisctl cert init', 'jarvisctl cert init --dir /secure/jarvis --days 1825');
}

function registerIssue(parent: Command, { terminal }: Context): void {
  const command = withFiles(
    parent
      .command('issue')
      .description('Make a key, and a certificate for it that the authority in the same directory signs.')
      .requiredOption('--name <name>', 'of the node, as its --name; or of the client')
      .option(
        '--host <host,…>',
        'names and addresses of the node, for browsers and curl; nodes know each other by name',
        collectList,
      )
      .option('--client', 'for a client: it may use the cluster, and be no node of it'),
    CERTIFICATE_DAYS,
  ).action(async ({ dir, days, force, output, name, host = [], client }: IssueOptions) => {
    if (name === AUTHORITY)
      throw new JarvisError(
        'invalid',
        `--name: "${AUTHORITY}" is what the files of the authority are called`,
      );
    const files = pairIn(dir, name);
    const authority = readPair(pairIn(dir, AUTHORITY));
    checkFree(files, force === true);
    const { issueCertificate, validFor } = await import('../../lib/certificates.ts');
    const kind = client === true ? 'client' : 'node';
    const validity = validFor(Date.now(), days * DAY_MS);
    writePair(files, await issueCertificate(authority, { kind, name, hosts: host, ...validity }));
    await print(terminal, output, shownIn(files.certificate));
  });
  addExamples(
    command,
    'jarvisctl cert issue --name n1 --host 10.0.0.1,n1.example.com',
    'jarvisctl cert issue --client --name ci --days 90',
  );
}

function registerShow(parent: Command, { terminal }: Context): void {
  const command = parent
    .command('show')
    .description(
      'Show who certificates speak for, and until when. What an authority is recognised by: -o wide.',
    )
    .argument('<file...>', 'PEM files; keys in them are not looked at')
    .addOption(outputOption())
    .action(async (files: readonly string[], { output }: OutputOptions) =>
      print(terminal, output, files.flatMap(shownIn)),
    );
  addExamples(command, 'jarvisctl cert show certs/n1.crt', 'jarvisctl cert show certs/*.crt -o wide');
}

function withFiles(command: Command, days: number): Command {
  return command
    .option('--dir <directory>', 'where the files are', DEFAULT_DIRECTORY)
    .option('--days <days>', 'for how long it is valid', parseDays, days)
    .option('--force', 'put it in the place of one that is there')
    .addOption(outputOption());
}

function parseDays(text: string): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > MOST_DAYS) throw new InvalidArgumentError(`Allowed: 1 to ${MOST_DAYS}.`);
  return days;
}

interface ShownCertificate {
  readonly file: string;
  readonly kind: 'authority' | 'node' | 'client' | 'other';
  readonly name: string;
  readonly hosts: readonly string[];
  readonly valid_from: string;
  readonly valid_to: string;
  readonly serial: string;
  readonly issuer: string;
  /** Of an authority: what a node that joins recognises it by. */
  readonly authority_hash: string | null;
}

/** @throws JarvisError invalid where the file holds no certificate */
function shownIn(file: string): readonly ShownCertificate[] {
  const certificates = certificatesIn(readPem(file));
  if (certificates.length === 0)
    throw new JarvisError('invalid', `${file}: holds no certificate (-----BEGIN CERTIFICATE-----)`);
  return certificates.map((pem) => shown(file, pem));
}

function shown(file: string, pem: string): ShownCertificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new JarvisError('invalid', `${file}: holds something that is no certificate`, { cause });
  }
  const identity = certificate.ca ? null : datedIdentityOf(certificate);
  const subject = certificate.subject.replace(/^CN=/, '').replaceAll('\n', ', ');
  return {
    file,
    kind: certificate.ca ? 'authority' : (identity?.kind ?? 'other'),
    name: identity?.name ?? subject,
    hosts: hostsOf(certificate),
    valid_from: certificate.validFromDate.toISOString(),
    valid_to: certificate.validToDate.toISOString(),
    serial: certificate.serialNumber.toLowerCase(),
    issuer: certificate.issuer.replace(/^CN=/, '').replaceAll('\n', ', '),
    authority_hash: certificate.ca ? authorityHash(pem) : null,
  };
}

function hostsOf({ subjectAltName }: X509Certificate): readonly string[] {
  return [...(subjectAltName ?? '').matchAll(/(?:^|, )(?:DNS|IP Address):([^,"]+)/g)].map(
    ([, host]) => host ?? '',
  );
}

async function print(
  terminal: Terminal,
  output: OutputOptions['output'],
  items: readonly ShownCertificate[],
): Promise<void> {
  const nowMs = Date.now();
  const answer: Answer<ShownCertificate> = {
    items,
    columns: [
      { title: 'FILE', cell: ({ file }) => printable(file) },
      { title: 'KIND', cell: ({ kind }) => kind },
      { title: 'NAME', cell: ({ name }) => printable(name) },
      { title: 'VALID UNTIL', cell: (item) => untilOf(item, nowMs) },
      { title: 'HOSTS', fit: 'cut', cell: ({ hosts }) => printable(hosts.join(',') || '-') },
      { title: 'ISSUER', wide: true, cell: ({ issuer }) => printable(issuer) },
      { title: 'AUTHORITY HASH', wide: true, cell: ({ authority_hash: hash }) => hash ?? '-' },
    ],
    nameOf: ({ name }) => printable(name),
    json: () => (items.length === 1 ? items[0] : listToJson([...items])),
    whenEmpty: 'no certificate',
  };
  await printAnswer(terminal, output, answer);
}

function untilOf({ valid_from: from, valid_to: to }: ShownCertificate, nowMs: number): string {
  const day = to.slice(0, 10);
  if (Date.parse(to) <= nowMs) return `${day} (over)`;
  return Date.parse(from) > nowMs ? `${day} (from ${from.slice(0, 10)})` : day;
}
