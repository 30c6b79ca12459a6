/** What a new machine runs once, as root, when it first starts: it becomes the node that was asked for (docs/providers.md). */
import { nodeVariables } from '../node-variables.ts';
import { ProviderError, type InstanceRequest } from '../provider.ts';

/** As EC2 has it, before base64. */
const MOST_BYTES = 16_384;
const RPC_PORT = 7101;
const HTTP_PORT = 8101;
const TOKEN_FILE = '/etc/jarvis/join-token';

/**
 * A script for cloud-init. What is not said here is said by the machine's image, in /etc/jarvis/jarvisd.yaml.
 * @throws ProviderError invalid where a label cannot be said, or it all is too large for EC2
 */
export function userDataOf(request: InstanceRequest): string {
  const { joinToken } = request;
  const script = [
    '#!/bin/sh',
    'set -eu',
    'umask 077',
    'mkdir -p -m 755 /etc/jarvis',
    ...(joinToken === null ? [] : fileOf(TOKEN_FILE, '>', [joinToken])),
    ...fileOf('/etc/jarvis/jarvisd.env', '>>', environmentOf(request)),
    "[ -e /etc/jarvis/jarvisd.yaml ] || echo 'data_dir: /var/lib/jarvis' > /etc/jarvis/jarvisd.yaml",
    // Of version 2, for version 1 may be switched off; without either the first address that the machine has.
    'imds=http://169.254.169.254/latest',
    'session=$(curl -fsS -m 5 -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$imds/api/token" || true)',
    'address=$(curl -fsS -m 5 -H "X-aws-ec2-metadata-token: $session" "$imds/meta-data/local-ipv4" || true)',
    '[ -n "$address" ] || address=$(hostname -I | cut -d " " -f 1)',
    `printf 'JARVISD_LISTEN=%s:${RPC_PORT}\\nJARVISD_HTTP=%s:${HTTP_PORT}\\n' "$address" "$address" >> /etc/jarvis/jarvisd.env`,
    'systemctl enable jarvisd',
    'systemctl restart --no-block jarvisd',
    '',
  ].join('\n');
  const bytes = Buffer.byteLength(script);
  if (bytes > MOST_BYTES)
    throw new ProviderError('invalid', `aws: user data has ${bytes} bytes; allowed: ${MOST_BYTES}`);
  return script;
}

function fileOf(file: string, how: '>' | '>>', lines: readonly string[]): readonly string[] {
  return [`cat ${how} ${file} <<'END_OF_FILE'`, ...lines, 'END_OF_FILE', `chmod 600 ${file}`];
}

/** Later lines win over earlier ones of the image's. */
function environmentOf(request: InstanceRequest): readonly string[] {
  const token: Record<string, string> = request.joinToken === null ? {} : { JOIN_TOKEN_FILE: TOKEN_FILE };
  const variables = nodeVariables('aws', request, token);
  return Object.entries(variables).map(([key, value]) => `JARVISD_${key}=${quoted(value)}`);
}

/** As systemd and shells read it. */
function quoted(value: string): string {
  return `"${value.replaceAll(/[\\"$`]/g, String.raw`\$&`)}"`;
}
