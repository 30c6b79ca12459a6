/** `npm run test:conformance [-- --verbose]`: see suite.ts. Exit 1 where an outcome fails, or there is nothing to run. */
import { listScripts, locateScripts, runScript } from './suite.ts';

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function main(): number {
  const isVerbose = process.argv.includes('--verbose');
  const { directory, isNamed } = locateScripts(process.env);
  const files = listScripts(directory);
  if (files === null && !isNamed) {
    print(`skipped: there are no scripts at ${directory}; RAFT_CONFORMANCE_DIR names another directory`);
    return 0;
  }
  if (files === null || files.length === 0) {
    process.stderr.write(`${directory} holds no scripts (*.txt)\n`);
    return 1;
  }
  let failed = 0;
  for (const file of files) {
    const { directives, agreeing, outcomeFaults, strictFaults } = runScript(directory, file);
    const isGood = outcomeFaults.length === 0;
    if (!isGood) failed += 1;
    print(`${isGood ? 'PASS' : 'FAIL'} outcome ${file}`);
    for (const fault of outcomeFaults) print(`  ${fault}`);
    const isStrict = agreeing === directives && isGood;
    print(`${isStrict ? 'PASS' : 'FAIL'} strict ${agreeing}/${directives} ${file}`);
    if (isVerbose) for (const fault of strictFaults) print(`  ${fault}`);
  }
  print(`${files.length - failed} of ${files.length} files agree by outcome`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = main();
