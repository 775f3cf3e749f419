// The rules for PowerShell scripts of this repository: what Windows PowerShell 5.1 can parse and means the same by, and house style.
import { all, commandName, parse, within } from './parse.js';

// Scripts that cannot keep a rule, and why. A script that is not here keeps them all.
const exceptions = {
  'pkg/winrm/bootstrap.ps1': {
    rules: ['header', 'strict-mode', 'param'],
    why: 'it travels in a command line of 8,191 characters, takes no parameters, and strict mode would reach into what it runs',
  },
};

const aliases = new Set(`% ? ac asnp cat cd chdir clc clear clhy cli clp cls clv cnsn compare copy cp cpi cpp curl cvpa dbp del diff dir
  dnsn ebp echo epal epcsv epsn erase etsn exsn fc fhx fl foreach ft fw gal gbp gc gci gcm gcs gdr ghy gi gjb gl gm gmo gp gps gpv
  group gsn gsnp gsv gu gv gwmi h history icm iex ihy ii ipal ipcsv ipmo ipsn irm ise iwmi iwr kill lp ls man md measure mi mount
  move mp mv nal ndr ni nmo npssc nsn nv ogv oh popd ps pushd pwd r rbp rcjb rcsn rd rdr ren ri rjb rm rmdir rmo rni rnp rp rsn rsnp
  rujb rv rvpa rwmi sajb sal saps sasv sbp sc select set shcm si sl sleep sls sort sp spjb spps spsv start sujb sv swmi tee trcm
  type wget where wjb write`.split(/\s+/));

const newVariables = new Set(['iswindows', 'islinux', 'ismacos', 'iscoreclr', 'psstyle', 'enabledexperimentalfeatures']);
const newParameters = { '-parallel': 'run it one by one', '-ashashtable': 'copy the properties', '-asbytestream': 'use -Encoding Byte' };
const loops = ['for_statement', 'foreach_statement', 'while_statement', 'do_statement', 'switch_statement'];
const ends = ['script_block_expression', 'function_statement', 'class_method_definition'];

// Each rule calls fault(node, message) for what it finds.
const rules = {
  syntax(root, fault) {
    const visit = (node) => {
      if (node.isMissing) return fault(node, `${JSON.stringify(node.type)} is missing here`);
      if (node.isError) return fault(node, 'not PowerShell, or not of 5.1 (clauses of a switch stand on lines of their own; no .ForEach({}))');
      if (node.hasError) for (const child of node.children) visit(child);
    };
    visit(root);
  },

  header(root, fault) {
    const first = root.firstChild ?? root;
    let text = '';
    for (let n = first; n?.type === 'comment'; n = n.nextSibling) text += n.text + '\n';
    const parts = text.startsWith('<#') ? ['.SYNOPSIS', 'Reads', 'Writes', 'Returns'] : ['Reads', 'Writes', 'Returns'];
    for (const part of parts) {
      if (!new RegExp(`^#?\\s*${part.replace('.', '\\.')}\\b`, 'm').test(text)) {
        fault(first, `the comment at the start has lines that begin with Reads, Writes and Returns (and .SYNOPSIS, between <# #>): no ${part}`);
      }
    }
  },

  'strict-mode'(root, fault) {
    const own = all(root, 'command').some((c) => /^set-strictmode$/i.test(commandName(c)) && !within(c, ...ends));
    if (!own) fault(root, 'Set-StrictMode -Version is missing');
  },

  param(root, fault, name) {
    if (!name.endsWith('.ps1')) return;
    const block = root.namedChildren.find((n) => n.type === 'param_block');
    if (!block) return fault(root, 'a param block is missing (an empty one, if the script takes nothing)');
    if (!/^\s*\[CmdletBinding\(/i.test(block.text)) {
      fault(block, '[CmdletBinding()] is missing: without it a misspelt parameter is taken in silence');
    }
  },

  commands(root, fault) {
    for (const node of all(root, 'command')) {
      const command = commandName(node).toLowerCase();
      if (command === 'invoke-expression' || command === 'iex') fault(node, 'Invoke-Expression runs data as code');
      else if (aliases.has(command)) fault(node, `${command} is an alias: write the command's name`);
      const parameters = all(node, 'command_parameter').filter((p) => within(p, 'command')?.id === node.id);
      for (const parameter of parameters) {
        const instead = newParameters[parameter.text.toLowerCase().replace(/:.*/, '')];
        if (instead) fault(parameter, `5.1 has no ${parameter.text}: ${instead}`);
        if (command === 'where-object' && /^-not$/i.test(parameter.text)) fault(parameter, '5.1 has no Where-Object -Not: use a script block');
      }
    }
    for (const node of all(root, 'foreach_parameter', 'inlinescript_statement', 'parallel_statement', 'sequence_statement')) {
      fault(node, 'workflows are not for us');
    }
    for (const node of all(root, 'function_statement')) if (/^workflow/i.test(node.text)) fault(node, 'workflows are not for us');
  },

  chains(root, fault) {
    for (const node of all(root, 'pipeline_chain_tail')) fault(node, `5.1 has no ${node.text.slice(0, 2)}: use if`);
  },

  variables(root, fault) {
    for (const node of all(root, 'variable')) {
      const name = node.text.replace(/^[$@]\{?(global:|script:)?|\}$/gi, '').toLowerCase();
      if (newVariables.has(name)) fault(node, `5.1 has no ${node.text}`);
    }
  },

  literals(root, fault) {
    for (const node of all(root, 'command_name', 'generic_token')) {
      if (/^(0b[01]+|\d+(u[lsy]?|y|s|n))$/i.test(node.text)) fault(node, `5.1 reads ${node.text} as a word: use a cast`);
    }
    for (const node of all(root, 'expandable_string_literal', 'expandable_here_string_literal', 'generic_token', 'command_name')) {
      if (/^(?:[^`]|`[^eu]|`u[^{])*`(?:e|u\{)/s.test(node.text)) fault(node, '5.1 has no escapes `e and `u{}: use [char]');
    }
  },

  operators(root, fault) {
    for (const node of all(root, 'range_expression')) {
      if (node.namedChildCount > 1 && /^['"]/.test(node.text)) fault(node, '5.1 has ranges of numbers only');
    }
    for (const node of all(root, 'comparison_expression')) {
      if (/-[ci]?replace\s+[^{]*,\s*\{/i.test(node.text)) fault(node, '5.1 makes text of the script block: use [regex]::Replace');
      if (/-[ci]?split\s[^|;{]*,\s*-\d/i.test(node.text)) fault(node, '5.1 knows no negative count for -split');
    }
    for (const node of all(root, 'attribute_name')) {
      if (/^ValidateNotNullOrWhiteSpace$/i.test(node.text)) fault(node, '5.1 has no ValidateNotNullOrWhiteSpace');
    }
    for (const node of all(root, 'comment')) {
      if (/^#requires\s.*-PSEdition\s+Core/i.test(node.text)) fault(node, '5.1 refuses a script for Core');
    }
  },

  // Windows PowerShell ends the whole process with code 0 and no word.
  'stray-break'(root, fault) {
    for (const node of all(root, 'flow_control_statement')) {
      if (!/^(break|continue)\b/i.test(node.text)) continue;
      const around = within(node, ...loops, ...ends, 'trap_statement');
      if (!around || ends.includes(around.type)) fault(node, `${node.text} outside of a loop ends everything, with success`);
    }
  },
};

// check lists what is wrong with a script, as { line, column, rule, message }; name is its path in the repository.
export function check(name, text) {
  const problems = [];
  const excused = exceptions[name]?.rules ?? [];
  text.split('\n').forEach((line, i) => {
    const at = line.search(/[^\x20-\x7e\t\r]/);
    if (at >= 0) problems.push({ line: i + 1, column: at + 1, rule: 'ascii', message: 'only ASCII: dashes, quotes and spaces of other kinds are syntax to PowerShell' });
  });
  const root = parse(text);
  for (const [rule, find] of Object.entries(rules)) {
    if (excused.includes(rule)) continue;
    find(root, (node, message) => {
      const { row, column } = node.startPosition;
      problems.push({ line: row + 1, column: column + 1, rule, message });
    }, name);
  }
  return problems;
}
