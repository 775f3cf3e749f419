// What can be said of deploy/windows from its text: that looking changes nothing, that each change is noted first and can be taken back.
import { all, commandName, parse, within } from './parse.js';

// Cmdlets and methods that change nothing. What is not here is taken for a change.
const reading = new Set(`get-ciminstance get-item get-childitem get-wsmaninstance get-netfirewallrule get-netfirewallportfilter
  get-netfirewalladdressfilter get-localgroup get-module get-pssnapin get-command test-path
  new-object where-object foreach-object select-object sort-object get-date join-path`.split(/\s+/));
const readingMethods = new Set(`isinrole getcurrent gethostentry getnameinfo encodeoid create computehash tobase64string floor pow
  containskey translate split invoke gettype invokemember getvalue getvaluenames getaccesscontrol getsecuritydescriptorsddlform opensubkey
  getresponse parse touniversaltime close tostring tolowerinvariant contains adddays padright touint32 abs indexof getsddlform purge
  addaccess`.split(/\s+/));
// What the script itself may use, so that all that only Windows has stands in the module.
const portable = new Set('import-module join-path get-date new-object where-object foreach-object select-object sort-object'.split(' '));

const functionsOf = (root) =>
  new Map(all(root, 'function_statement').map((f) => [f.namedChildren.find((n) => n.type === 'function_name').text.toLowerCase(), f]));
const calls = (node) => all(node, 'command').map((c) => ({ node: c, name: commandName(c).toLowerCase() }));
const words = (command) => all(command, 'verbatim_string_characters').map((n) => n.text.slice(1, -1));
const isReader = (name) => /^(get|test)-/.test(name);

// prove lists the promises that the texts of script and module break.
export function prove(scriptText, moduleText) {
  const broken = [];
  const script = parse(scriptText);
  const module = parse(moduleText);
  const own = functionsOf(script);
  const offered = functionsOf(module);
  const changes = (name) => offered.has(name) && !isReader(name);

  for (const root of [script, module]) {
    for (const node of all(root, 'command_invokation_operator')) broken.push(`line ${node.startPosition.row + 1}: calls by a computed name`);
  }

  // The module: what reads calls only what reads.
  for (const [name, body] of offered) {
    if (!isReader(name)) continue;
    for (const call of calls(body)) {
      if (!reading.has(call.name) && !(offered.has(call.name) && isReader(call.name))) broken.push(`${name} calls ${call.name}`);
    }
  }
  for (const [name, body] of [...offered].filter(([n]) => isReader(n)).concat([...own])) {
    for (const call of all(body, 'invokation_expression')) {
      const method = call.namedChildren.find((n) => n.type === 'member_name')?.text.toLowerCase();
      if (!readingMethods.has(method)) broken.push(`${name} calls the method ${method}`);
      if (method === 'opensubkey' && call.text.includes('$true')) broken.push(`${name} opens a registry key for writing`);
      if (method === 'invoke' && !call.text.endsWith("('Members')")) broken.push(`${name} invokes more than Members`);
    }
  }

  // The script: only its own, the module's and portable commands.
  for (const call of calls(script)) {
    const known = own.has(call.name) || offered.has(call.name) || portable.has(call.name) || call.name === 'set-strictmode';
    if (!known) broken.push(`the script calls ${call.name}, which belongs into the module`);
  }

  // From -Check nothing that changes can be reached.
  const top = script.namedChildren.find((n) => n.type === 'statement_list').namedChildren.filter((n) => n.type !== 'function_statement');
  const reached = new Set();
  const reach = (call, from) => {
    if (changes(call.name)) broken.push(`-Check reaches ${call.name} from ${from}`);
    if (!own.has(call.name) || reached.has(call.name)) return;
    reached.add(call.name);
    for (const next of calls(own.get(call.name))) reach(next, call.name);
  };
  for (const call of top.flatMap(calls)) {
    if (!onlyWithoutCheck(call.node)) reach(call, 'the end of the script');
  }

  // Each step looks, changes, notes first; each note can be taken back.
  const table = calls(own.get('get-table')).map((c) => c.name);
  const setAll = calls(own.get('set-right')).map((c) => c.name);
  const undo = own.get('undo-record');
  const clauses = new Set(all(undo, 'switch_clause_condition').map((n) => n.text.replace(/'/g, '')));
  const order = top.filter((n) => n.text.startsWith('$undoOrder')).flatMap(words);
  for (const [name, body] of own) {
    const step = /^set-(.+)right$/.exec(name)?.[1];
    if (!step || name === 'set-right') continue;
    if (!setAll.includes(name)) broken.push(`${name} is never called`);
    if (!table.includes(`get-${step}row`)) broken.push(`${name} has no get-${step}row in the table`);
    for (const call of calls(body)) {
      if (call.name === 'save-record') {
        const [kind] = words(call.node);
        if (!clauses.has(kind) || !order.includes(kind)) broken.push(`${name} notes ${kind}, which cannot be taken back`);
      } else if (changes(call.name) && !notedBefore(call.node, body)) {
        broken.push(`${name} calls ${call.name} without a note of what was before`);
      }
    }
  }
  return broken;
}

// True for what stands in if (-not $Check) {} or behind if ($Check) {} else.
function onlyWithoutCheck(command) {
  const holder = within(command, 'statement_block')?.parent;
  const condition = (node) => node.childForFieldName('condition')?.text;
  if (holder?.type === 'else_clause') return condition(holder.parent) === '$Check';
  return holder?.type === 'if_statement' && condition(holder) === '-not $Check';
}

// A note stands earlier in the same list of statements, or in one that encloses it.
function notedBefore(command, body) {
  for (let list = within(command, 'statement_list'); list && list.startIndex >= body.startIndex; list = within(list, 'statement_list')) {
    for (const statement of list.namedChildren) {
      if (statement.startIndex >= command.startIndex) break;
      if (statement.type === 'pipeline' && /^Save-Record\b/.test(statement.text)) return true;
    }
  }
  return false;
}
