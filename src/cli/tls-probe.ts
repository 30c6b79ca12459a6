/** Whether there is TLS where somebody asked in plain text: from outside that looks as if nobody answered. */
import { connect } from 'node:tls';

const PROBE_MS = 1000;
/** Only a hint depends on it. */
const PROBED = 4;

/** @param addresses `host:port` @returns those of the first few that speak TLS */
export async function speakingTls(
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const probed = addresses.slice(0, PROBED);
  const answers = await Promise.all(probed.map((address) => speaksTls(address, signal)));
  return probed.filter((_address, at) => answers[at]);
}

function speaksTls(address: string, signal: AbortSignal): Promise<boolean> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  return new Promise((resolve) => {
    // Nothing is sent or believed: that there is a handshake is all that counts.
    const socket = connect({
      host,
      port: Number(address.slice(at + 1)),
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    const done = (answer: boolean): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
      socket.destroy();
      resolve(answer);
    };
    const gone = (): void => done(false);
    const timer = setTimeout(gone, PROBE_MS);
    signal.addEventListener('abort', gone);
    socket.once('secureConnect', () => done(true));
    socket.on('error', gone);
  });
}
