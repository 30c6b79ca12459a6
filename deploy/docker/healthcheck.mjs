// Whether the node of this container is alive: exit status 0 where GET /healthz says so. It asks the address of JARVISD_HTTP,
// or 127.0.0.1:8101. The certificate is not looked at: this is the node's own machine, and nothing is told.
import http from 'node:http';
import https from 'node:https';

const TIMEOUT_MS = 4000;
const address = (process.env.JARVISD_HTTP ?? '127.0.0.1:8101').replace(
  /^(0\.0\.0\.0|\[::\])(?=:\d+$)/,
  'localhost',
);

/** @returns {Promise<string>} what it says; throws where it does not answer in time */
function ask(client, scheme) {
  return new Promise((resolve, reject) => {
    const options = { rejectUnauthorized: false, signal: AbortSignal.timeout(TIMEOUT_MS / 2) };
    client
      .get(`${scheme}://${address}/healthz`, options, (answer) => {
        answer.resume();
        if (answer.statusCode === 200) resolve('alive');
        else reject(new Error(`GET /healthz: ${answer.statusCode}`));
      })
      .on('error', reject);
  });
}

// Whether the node has TLS may stand in a file that is not known here.
const answers = await Promise.allSettled([ask(http, 'http'), ask(https, 'https')]);
if (answers.every(({ status }) => status === 'rejected')) {
  process.stderr.write(`${address}: ${answers.map(({ reason }) => reason.message).join('; ')}\n`);
  process.exitCode = 1;
}
