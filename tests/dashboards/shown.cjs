// Runs Grafana's own code on the panels: transformations, overrides, mappings, units and colours. Reads panels and
// Prometheus' results from standard input, and writes one object per panel with the fields of each frame.
"use strict";
require("global-jsdom")("", { url: "http://localhost/" });
window.matchMedia = () => ({ matches: false, addListener() {}, removeListener() {} });
const grafana = require("@grafana/data");
const { lastValueFrom } = require("rxjs");

// Grafana registers these at startup.
const transformers = new Map(Object.values(grafana.standardTransformers).map((one) => [one.id, one]));
grafana.standardTransformersRegistry.setInit(() =>
  [...transformers.values()].map((one) => ({ id: one.id, name: one.name, transformation: async () => one })),
);
const properties = ["unit", "min", "max", "noValue", "links", "color", "thresholds", "mappings"];
grafana.standardFieldConfigEditorRegistry.setInit(() =>
  properties.map((id) => ({ id, path: id, name: id, process: (value) => value, shouldApply: () => true })),
);
const theme = grafana.createTheme();

// Converts a query result to frames, as Grafana's data source does.
function table({ refId, result }, name) {
  const labels = [...new Set(result.flatMap((row) => Object.keys(row.metric)))].filter((label) => label !== "__name__");
  return grafana.toDataFrame({
    refId,
    fields: [
      { name: "Time", type: "time", values: result.map((row) => row.value[0] * 1000) },
      ...labels.sort().map((label) => ({
        name: label,
        type: "string",
        values: result.map((row) => row.metric[label] ?? ""),
      })),
      { name, type: "number", values: result.map((row) => Number(row.value[1])) },
    ],
  });
}

function series({ refId, legend, result }) {
  return result.map(({ metric: { __name__, ...labels }, value, values = [value] }) => {
    const filled = legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "");
    const named = legend === "__auto" ? undefined : filled;
    return grafana.toDataFrame({
      refId,
      fields: [
        { name: "Time", type: "time", values: values.map(([at]) => at * 1000) },
        {
          name: "Value",
          type: "number",
          labels,
          values: values.map(([, number]) => Number(number)),
          config: { displayNameFromDS: named },
        },
      ],
    });
  });
}

async function shown({ panel, answers }) {
  const many = answers.filter((answer) => answer.format === "table").length > 1;
  const frames = answers.flatMap((answer) =>
    answer.format === "table" ? table(answer, many ? `Value #${answer.refId}` : "Value") : series(answer),
  );
  const changed = grafana.transformDataFrame(panel.transformations ?? [], frames, { interpolate: (text) => text });
  const data = grafana.applyFieldOverrides({
    data: await lastValueFrom(changed),
    fieldConfig: panel.fieldConfig,
    replaceVariables: (text) => text,
    theme,
    fieldConfigRegistry: grafana.standardFieldConfigEditorRegistry,
  });
  return data.map((frame) =>
    frame.fields.map((field) => {
      const cells = field.values.map((value) => field.display(value));
      return {
        name: grafana.getFieldDisplayName(field, frame, data),
        type: field.type,
        texts: cells.map(grafana.formattedValueToString),
        colours: cells.map((cell) => cell.color ?? null),
      };
    }),
  );
}

async function main() {
  let text = "";
  for await (const part of process.stdin) text += part;
  const made = await Promise.all(JSON.parse(text).map(shown));
  process.stdout.write(JSON.stringify(made));
}

// The library prints a greeting to standard output.
console.info = console.log = () => {};
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
