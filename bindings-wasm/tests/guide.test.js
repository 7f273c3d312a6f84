// The blocks of docs/javascript.md do what the page says.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { relay } from "./program.js";

const here = fileURLToPath(new URL("../", import.meta.url));
const guide = readFileSync(new URL("../../docs/javascript.md", import.meta.url), "utf8");
const blocks = [...guide.matchAll(/^```(\w+)\n(.*?)^```\n(?:\n^```text\n(.*?)^```)?/gms)];

async function run(script) {
  // Inside the package its own name is known.
  const options = ["--experimental-websocket", "--no-warnings", "--input-type=module", "--eval", script];
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: here });
  return stdout;
}

for (const [, mark, script, output] of blocks) {
  if (mark !== "js") continue;
  const title = script.split("\n").find((line) => line && !line.startsWith("import"));
  test(`a block of the guide: ${title}`, async () => assert.equal(await run(script), output));
}

test("the page of the guide", async (t) => {
  const { relay: url } = await relay(t);
  const [, , html] = blocks.find(([, mark]) => mark === "html");
  const [, script] = /<script type="module">\n(.*?)<\/script>/s.exec(html);
  const document = "const document = { querySelector: () => ({ append: (text) => console.log(text) }) };\n";
  const inPage = script
    .replace("./node_modules/kadlet/dist/index.js", "kadlet")
    .replace("ws://127.0.0.1:4680/relay", url)
    .replace(', state: "my node"', "");
  assert.match(await run(`${document}${inPage}await node.close();`), /^[0-9a-f]{40} at 127\.0\.0\.1:\d+\n/);
  assert.ok(html.trim().split("\n").length <= 10);
});
