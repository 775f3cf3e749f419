// PowerShell syntax trees, by tree-sitter.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { Language, Parser } from 'web-tree-sitter';

await Parser.init();
const grammar = createRequire(import.meta.url).resolve('tree-sitter-powershell/tree-sitter-powershell.wasm');
const parser = new Parser();
parser.setLanguage(await Language.load(await readFile(grammar)));

export const parse = (text) => parser.parse(text).rootNode;

// all lists the nodes of the given types below a node, in the order of the text.
export const all = (node, ...types) => node.descendantsOfType(types);

// within finds the nearest enclosing node of the given types.
export function within(node, ...types) {
  for (let n = node.parent; n; n = n.parent) if (types.includes(n.type)) return n;
  return null;
}

export const commandName = (command) => command.childForFieldName('command_name')?.text ?? '';
