// Whether dashboards fit the types of @grafana/schema: node dashboards.mjs FILE…
// Each becomes a literal of its type, and the options of each panel one of the panel's own: a misspelt or misplaced name,
// or a value that is none of its words, is a mistake of the compiler.
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const here = dirname(fileURLToPath(import.meta.url));
const schema = "./node_modules/@grafana/schema/dist/types";
const panels = { heatmap: "heatmap", stat: "stat", table: "table", timeseries: "timeseries" };
const lines = [`import type { Dashboard, Panel } from "${schema}/raw/dashboard/x/types.gen";`];
for (const [kind, folder] of Object.entries(panels)) {
  lines.push(`import type * as ${kind} from "${schema}/raw/composable/${folder}/panelcfg/x/types.gen";`);
}
// Enumerations are words in JSON.
lines.push(
  "type Words<T> = T extends string ? `${T}` : T extends (infer I)[] ? Words<I>[] : T extends object ? { [K in keyof T]: Words<T[K]> } : T;",
);
const known = new Set(["graph", "row", ...Object.keys(panels)]);
const wrong = [];
let count = 0;
process.argv.slice(2).forEach((file, number) => {
  const board = JSON.parse(readFileSync(file, "utf8"));
  const { panels: own, ...rest } = board;
  lines.push(`const board${number}: Words<Omit<Dashboard, "panels">> = ${JSON.stringify(rest)}; // ${basename(file)}`);
  own.forEach((panel, index) => {
    if (!known.has(panel.type)) wrong.push(`${basename(file)}: ${panel.title}: no panel is a ${panel.type}`);
    if (panel.type === "row") return;
    count += 1;
    const { options, targets, ...outer } = panel;
    lines.push(`const panel${number}_${index}: Words<Omit<Panel, "options" | "targets">> = ${JSON.stringify(outer)}; // ${panel.title}`);
    lines.push(`const options${number}_${index}: Words<Partial<${panel.type}.Options>> = ${JSON.stringify(options)}; // ${panel.title}`);
    const custom = panel.fieldConfig.defaults.custom;
    if (custom) {
      lines.push(`const custom${number}_${index}: Words<Partial<${panel.type}.FieldConfig>> = ${JSON.stringify(custom)}; // ${panel.title}`);
    }
  });
});
lines.push("export {};");
const path = join(here, "dashboards.check.ts");
writeFileSync(path, lines.join("\n") + "\n");
const options = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, types: [], lib: ["lib.es2022.d.ts"] };
for (const found of ts.getPreEmitDiagnostics(ts.createProgram([path], options))) {
  const line = found.file ? lines[found.file.getLineAndCharacterOfPosition(found.start).line] ?? "" : "";
  const text = ts.flattenDiagnosticMessageText(found.messageText, " ");
  wrong.push(`${line.slice(line.lastIndexOf("// ") + 3)}: ${text.slice(0, 300)}`);
}
console.log(JSON.stringify({ panels: count, wrong }));
