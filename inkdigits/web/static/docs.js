// The API's documents, drawn from openapi.json.
import { element } from "./answer.js";

const $ = (id) => document.getElementById(id);

function kindOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.const) return schema.const;
  if (schema.enum) return schema.enum.join(" | ");
  if (schema.type === "array") return schema.prefixItems ? `(${schema.prefixItems.map(kindOf).join(", ")})` : `list of ${kindOf(schema.items)}`;
  return schema.format === "binary" ? "file" : schema.type ?? "object";
}

function table(rows) {
  const body = element("tbody");
  for (const cells of rows) {
    const row = element("tr");
    cells.forEach((text, i) => row.append(element(i ? "td" : "th", { textContent: text, ...(i ? {} : { scope: "row" }) })));
    body.append(row);
  }
  const node = element("table");
  node.append(body);
  return node;
}

function operation(method, path, described) {
  const node = element("details");
  const head = element("summary");
  head.append(element("span", { className: "method", textContent: method.toUpperCase() }), " ", element("code", { textContent: path }), ` — ${described.summary}`);
  node.append(head);
  if (described.description) node.append(element("p", { textContent: described.description.replaceAll("`", "") }));
  const rows = (described.parameters ?? []).map(({ name, schema, description, required }) => [name, kindOf(schema), `${description ?? ""}${required ? " (required)" : ""}`]);
  if (described.requestBody) rows.push(["body", "file", Object.keys(described.requestBody.content).join(", ")]);
  for (const [status, { description, content }] of Object.entries(described.responses)) {
    rows.push([status, kindOf(content?.["application/json"]?.schema), description]);
  }
  node.append(table(rows));
  return node;
}

function shape(name, schema) {
  const node = element("details");
  const head = element("summary");
  head.append(element("code", { textContent: name }), ` — ${schema.description ?? ""}`);
  node.append(head, table(Object.entries(schema.properties ?? {}).map(([field, inner]) => [field, kindOf(inner), inner.description ?? ""])));
  return node;
}

$("example").textContent = `curl --data-binary @photo.jpg '${new URL("v1/read", location)}'`;
const description = await (await fetch("openapi.json")).json();
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, described] of Object.entries(methods)) $("operations").append(operation(method, path, described));
}
for (const [name, schema] of Object.entries(description.components.schemas)) $("shapes").append(shape(name, schema));
