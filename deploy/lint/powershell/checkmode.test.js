import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { prove } from './checkmode.js';
import { all, parse } from './parse.js';

const read = (name) => readFileSync(new URL(`../../windows/${name}`, import.meta.url), 'utf8');
const script = read('Initialize-MIMServer.ps1');
const module = read('WindowsServer.psm1');

test('-Check changes nothing, and each change can be taken back', () => assert.deepEqual(prove(script, module), []));

// Each plants one fault; the proof must see it.
for (const [fault, where, from, to, says] of [
  ['a row that changes', 'script', 'function Get-CryptoRow {', "function Get-CryptoRow {\n    Set-RegistryNumber 'a' 'b' 1", /-Check reaches set-registrynumber/],
  ['a change that a row reaches by a detour', 'script', 'function Test-FirewallRight($Rule) {', 'function Test-FirewallRight($Rule) {\n    Set-ServiceRight', /-Check reaches set-servicestart/],
  ['a change before -Check is looked at', 'script', 'Assert-Possible\nif', 'Set-Right\nif', /-Check reaches/],
  ['-Check forgotten', 'script', 'if (-not $Check) { Set-Right }', 'if (-not $Undo) { Set-Right }', /-Check reaches/],
  ['undo in -Check', 'script', 'if ($Check) { Get-UndoRow }', 'if ($Check) { Invoke-Undo }', /-Check reaches remove-/],
  ['a change without a note', 'script', "            Save-Record 'Group' \"$($group.Sid)|$sid\" ''\n", '', /set-accountright calls add-groupmember without/],
  ['a note after the change', 'script', "    Save-Record 'Certificate' '' ''\n    New-ServerCertificate (Get-ServerName)\n", "    New-ServerCertificate (Get-ServerName)\n    Save-Record 'Certificate' '' ''\n", /without a note/],
  ['a note that nobody takes back', 'script', "Save-Record 'Firewall'", "Save-Record 'Rule'", /Rule, which cannot be taken back/],
  ['a step that is not called', 'script', '    Set-FolderRight\n}', '}', /set-folderright is never called/],
  ['a step without its row', 'script', '    Get-FolderRow\n}', '}', /no get-folderrow/],
  ['a call of Windows in the script', 'script', 'function Get-CryptoRow {', 'function Get-CryptoRow {\n    Get-Service', /belongs into the module/],
  ['a file written by the script', 'script', 'function Get-CryptoRow {', "function Get-CryptoRow {\n    [IO.File]::WriteAllText('a', 'b')", /method writealltext/],
  ['a call by a computed name', 'script', 'function Get-CryptoRow {', 'function Get-CryptoRow {\n    & $Account', /computed name/],
  ['a reader that writes', 'module', 'function Get-ServiceFact([string]$Name) {', 'function Get-ServiceFact([string]$Name) {\n    Start-Service -Name $Name', /get-servicefact calls start-service/],
  ['a reader that writes by a method', 'module', 'function Get-FolderAccess([string]$Path) {', 'function Get-FolderAccess([string]$Path) {\n    [IO.Directory]::Delete($Path)', /method delete/],
  ['a reader that opens for writing', 'module', 'OpenSubKey($records)', 'OpenSubKey($records, $true)', /for writing/],
]) {
  test(`seen: ${fault}`, () => {
    const before = where === 'script' ? script : module;
    assert.ok(before.includes(from), `the text to replace is gone: ${from}`);
    const after = before.replace(from, () => to);
    assert.match(prove(where === 'script' ? after : script, where === 'module' ? after : module).join('\n'), says);
  });
}

test('each parameter is documented', () => {
  const block = parse(script).namedChildren.find((n) => n.type === 'param_block');
  const names = all(block, 'script_parameter').map((p) => p.namedChildren.find((n) => n.type === 'variable').text.slice(1));
  assert.deepEqual(script.match(/^\.PARAMETER (\w+)$/gm).map((line) => line.split(' ')[1]), names);
});

test('the page names what the script has', () => {
  const page = readFileSync(new URL('../../../docs/windows.md', import.meta.url), 'utf8');
  for (const [, name] of script.matchAll(/^\.PARAMETER (\w+)$/gm)) assert.ok(page.includes(`-${name}`), `docs/windows.md does not mention -${name}`);
});
