// Checks every tracked PowerShell script, or those given: node deploy/lint/powershell/lint.js [file ...], from the repository's root.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { check } from './rules.js';

const tracked = () => execFileSync('git', ['ls-files', '-z', '*.ps1', '*.psm1'], { encoding: 'utf8' }).split('\0').filter(Boolean);
const names = process.argv.length > 2 ? process.argv.slice(2) : tracked();

let found = 0;
for (const name of names) {
  for (const { line, column, rule, message } of check(name, readFileSync(name, 'utf8'))) {
    console.error(`${name}:${line}:${column}: ${message} (${rule})`);
    found++;
  }
}
process.exitCode = found > 0 ? 1 : 0;
