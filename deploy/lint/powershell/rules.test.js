import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { check } from './rules.js';

const header = `<#
.SYNOPSIS
    Counts.

Reads nothing.
Writes nothing.
Returns a number.
#>
[CmdletBinding()]
param([int]$From = 1)
Set-StrictMode -Version 2.0
`;
const rulesOf = (text, name = 'x.ps1') => check(name, text).map((p) => p.rule);

test('a clean script', () => {
  const body = `
$text = "tab\`t and \`\`e"
foreach ($n in @(1, 2)) {
    if ($n -eq 2) { continue }
    switch ($n) {
        1 { break }
        default { Write-Output $text }
    }
}
Get-Item -LiteralPath 'a' |
    Where-Object { -not $_.PSIsContainer }
`;
  assert.deepEqual(check('x.ps1', header + body), []);
});

// What Windows PowerShell 5.1 makes of each construct was recorded with its own parser of that time.
const rows = JSON.parse(readFileSync(new URL('testdata/syntax.json', import.meta.url), 'utf8'));
// Fine on 5.1, refused here: the grammar does not know it, or house style forbids it.
const refused = new Set(['attribute_mandatory_short', 'class_interface_static_prop', 'configuration', 'dynamicparam', 'inlinescript',
  'method_foreach', 'nested_fn_return_type', 'qmark_in_varname', 'workflow']);
const fine = (row) => /^OK/.test(row.ps51) && [...row.script].every((c) => c <= '~') && !refused.has(row.name);
// Neither an error nor another meaning that a reader would miss.
const harmless = new Set(['errorview', 'cr_only_newline']);

for (const row of rows) {
  if (harmless.has(row.name)) continue;
  test(`5.1 syntax: ${row.name}`, () => {
    const house = new Set(['header', 'strict-mode', 'param', 'stray-break']);
    const found = check('x.psm1', row.script).filter((p) => !house.has(p.rule));
    if (fine(row)) assert.deepEqual(found, []);
    else assert.notDeepEqual(found, [], `${JSON.stringify(row.script)} passed; 5.1: ${row.ps51}`);
  });
}

for (const [fault, rule, text] of [
  ['no brace at the end', 'syntax', header + 'if ($From) {\n'],
  ['no quote at the end', 'syntax', header + "$a = 'x\n"],
  ['a dash from a word processor', 'ascii', header + 'Get-Item \u2013Path x\n'],
  ['a non-ASCII letter in a comment', 'ascii', header + '# caf\u00e9\n'],
  ['no header', 'header', header.replace(/<#[^]*#>\n/, '')],
  ['a header that does not say what it writes', 'header', header.replace('Writes', 'Wrote')],
  ['no strict mode', 'strict-mode', header.replace(/Set-StrictMode.*\n/, '')],
  ['strict mode in a function only', 'strict-mode', header.replace(/Set-StrictMode.*\n/, 'function Get-A { Set-StrictMode -Version 2.0 }\n')],
  ['no param block', 'param', header.replace(/\[Cmdlet[^]*?\)\]\nparam.*\n/, '')],
  ['no CmdletBinding', 'param', header.replace('[CmdletBinding()]\n', '')],
  ['Invoke-Expression', 'commands', header + 'Invoke-Expression $From\n'],
  ['iex', 'commands', header + "'1' | IEX\n"],
  ['an alias', 'commands', header + 'gci C:\\\n'],
  ['an alias in a pipeline', 'commands', header + '@(1) | % { $_ }\n'],
  ['an alias in a string', 'commands', header + '"$(gc a)"\n'],
  ['and', 'chains', header + 'Get-Date && Get-Date\n'],
  ['a parallel loop', 'commands', header + '@(1) | ForEach-Object -Parallel { $_ }\n'],
  ['$IsWindows', 'variables', header + 'if (${IsWindows}) { 1 }\n'],
  ['an escape in a here-string', 'literals', header + '$a = @"\n`e[0m\n"@\n'],
  ['break without a loop', 'stray-break', header + 'break\n'],
  ['continue in a pipeline', 'stray-break', header + 'foreach ($n in 1, 2) { @(1) | ForEach-Object { continue } }\n'],
]) {
  test(`caught: ${fault}`, () => assert.ok(rulesOf(text).includes(rule), `found ${JSON.stringify(check('x.ps1', text))}`));
}

test('a problem has its place', () => {
  const [problem] = check('x.ps1', header + '\n  gci C:\\\n');
  assert.deepEqual([problem.line, problem.column, problem.rule], [13, 3, 'commands']);
});

test('an exception holds for its script and its rules only', () => {
  const text = 'gci C:\\\n';
  assert.deepEqual(rulesOf(text, 'pkg/winrm/bootstrap.ps1'), ['commands']);
  assert.ok(rulesOf(text, 'pkg/winrm/other.ps1').includes('strict-mode'));
});
