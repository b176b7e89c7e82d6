// The files themselves: vendored ones are the registry's, ours are short, and all together they are small.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

const here = fileURLToPath(new URL(".", import.meta.url));
const web = join(here, "../../web");
const modules = join(here, "node_modules");
const LIMIT = 100_000;

/** Every file below a folder. */
function files(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}

const all = files(web).map((path) => relative(web, path));

test("vendored files are byte for byte what the registry has", () => {
  const vendored = JSON.parse(readFileSync(join(web, "vendor/vendor.json"), "utf8"));
  let compared = 0;
  for (const [name, { version, licence, files }] of Object.entries(vendored)) {
    const installed = JSON.parse(readFileSync(join(modules, name, "package.json"), "utf8"));
    assert.equal(version, installed.version, `${name}: another version is installed`);
    assert.ok(licence.includes(installed.license), `${name}: its licence is ${installed.license}`);
    for (const [ours, theirs] of Object.entries(files)) {
      const [one, other] = [join(web, "vendor", ours), join(modules, name, theirs)].map((path) => readFileSync(path));
      assert.ok(one.equals(other), `${ours} is not ${name}@${version}/${theirs}`);
      compared += 1;
    }
  }
  console.log(`${compared} files compared`);
  assert.ok(compared >= 7);
});

test("nothing is vendored without a name, and everything comes with its licence", () => {
  const vendored = JSON.parse(readFileSync(join(web, "vendor/vendor.json"), "utf8"));
  const named = Object.values(vendored).flatMap(({ files }) => Object.keys(files));
  const ours = ["vendor.json", "htm/standalone.module.d.ts"];
  const there = all.filter((path) => path.startsWith("vendor/")).map((path) => path.slice("vendor/".length));
  assert.deepEqual([...there].sort(), [...named, ...ours].sort());
  for (const folder of new Set(named.map((path) => path.split("/")[0]))) {
    assert.ok(there.includes(`${folder}/LICENSE`), `${folder} has no licence`);
  }
});

test("what stands inside htm's file is Preact as the registry has it", async () => {
  const inside = await import(pathToFileURL(join(web, "vendor/htm/standalone.module.js")).href);
  const registry = { ...(await import("preact")), ...(await import("preact/hooks")) };
  const shared = Object.keys(inside).filter((name) => name !== "html");
  assert.ok(shared.includes("render") && shared.includes("useState"), shared.join(" "));
  for (const name of shared) assert.equal(typeof inside[name], typeof registry[name], name);
  const element = ({ type, props, key }) => ({ type, props, key });
  const [one, other] = [inside, registry].map(({ h }) => element(h("p", { key: "k", id: "i" }, "text")));
  assert.deepEqual(one, other);
});

test("the dashboard is at most 100 kB compressed; the API's viewer, which only /docs loads, is not in the sum", () => {
  const loaded = all.filter(
    (path) =>
      /\.(js|css|svg|html)$/.test(path) && !path.startsWith("docs/") && !path.startsWith("vendor/swagger-ui/"),
  );
  const size = loaded.reduce((sum, path) => sum + gzipSync(readFileSync(join(web, path)), { level: 9 }).length, 0);
  const viewer = all.filter((path) => /^vendor\/swagger-ui\/.*\.(js|css)$/.test(path));
  const beside = viewer.reduce((sum, path) => sum + gzipSync(readFileSync(join(web, path))).length, 0);
  console.log(`${loaded.length} files, ${size} bytes compressed; the viewer beside them ${beside}`);
  assert.ok(loaded.includes("app.js") && loaded.includes("vendor/htm/standalone.module.js"));
  assert.ok(size <= LIMIT, `${size} bytes are more than ${LIMIT}`);
});

test("our own files are at most 600 lines long and name no other host", () => {
  const own = all.filter((path) => !path.startsWith("vendor/") && !path.startsWith("types/"));
  for (const path of own) {
    const text = readFileSync(join(web, path), "utf8");
    assert.ok(text.split("\n").length <= 601, `${path} is too long`);
    const hosts = text.replaceAll("http://www.w3.org/2000/svg", "").match(/(https?:)?\/\/[a-z0-9-]+\.[a-z]/gi);
    assert.equal(hosts, null, `${path} names ${hosts}`);
  }
});

test("our own files put text into the page as text only", () => {
  const own = all.filter((path) => path.endsWith(".js") && !path.startsWith("vendor/"));
  const risky = /innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|document\.write|\beval\(|new Function/;
  for (const path of own) assert.doesNotMatch(readFileSync(join(web, path), "utf8"), risky, path);
});
