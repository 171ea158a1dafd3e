// A directory with the packages `mermaid` and `jsdom`, and files → 0 where Mermaid takes each for a diagram; else its
// complaint and 1. Only the grammar is asked: nothing is drawn.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [directory, ...files] = process.argv.slice(2);
const packages = resolve(directory);

// Mermaid cleans every text with the help of a document.
const { JSDOM } = createRequire(`${packages}/`)("jsdom");
const { window } = new JSDOM("<!DOCTYPE html>");
globalThis.window = window;
globalThis.document = window.document;

const { default: mermaid } = await import(pathToFileURL(`${packages}/node_modules/mermaid/dist/mermaid.core.mjs`));
mermaid.initialize({ startOnLoad: false });
let failed = files.length === 0;
for (const file of files) {
  try {
    const { diagramType } = await mermaid.parse(readFileSync(file, "utf8"));
    console.log(`${file}: ${diagramType}`);
  } catch (error) {
    console.error(`${file}: ${error.message}`);
    failed = true;
  }
}
process.exit(failed ? 1 : 0);
